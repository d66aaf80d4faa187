//! The contract between the generator and a model: which calls are made, with which prompts, and what
//! is reported. The model is a script that records what it was asked.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keyrot_core::{AcquireError, KeyId, KeyRequest, ModelName, ProjectId};
use strategy_gen::{
    AttemptReport, Blocked, CallCause, CallError, Finish, GenerateError, GenerateOptions, LanguageModel,
    OnProgress, Pipeline, Progress, Prompt, Reason, Reply, Rule, SYSTEM_INSTRUCTION, StrategyGenerator,
    TokenUsage,
};

const GOOD: &str = "from backtesting import Strategy\n\n\nclass Cross(Strategy):\n    def init(self):\n        \
                    pass\n\n    def next(self):\n        pass";
const BAD: &str = "class Cross(Strategy):\n    def next(self)\n        pass";

#[derive(Clone, Debug, Default)]
struct Script {
    replies: Arc<Mutex<VecDeque<Result<Reply, CallError>>>>,
    asked: Arc<Mutex<Vec<(Prompt, KeyRequest)>>>,
}

#[async_trait]
impl LanguageModel for Script {
    async fn ask(
        &self,
        prompt: &Prompt,
        request: KeyRequest,
        progress: OnProgress<'_>,
    ) -> Result<Reply, CallError> {
        self.asked.lock().unwrap().push((prompt.clone(), request));
        let reply = self.replies.lock().unwrap().pop_front().expect("one call too many");
        if let Ok(reply) = &reply {
            progress(Progress::new(1, None));
            progress(Progress::new(reply.text.chars().count(), Some(20)));
        }
        reply
    }
}

impl Script {
    fn of(replies: impl IntoIterator<Item = Result<Reply, CallError>>) -> Self {
        Self { replies: Arc::new(Mutex::new(replies.into_iter().collect())), ..Self::default() }
    }

    fn generator(&self) -> StrategyGenerator {
        StrategyGenerator::new(self.clone())
    }

    fn prompts(&self) -> Vec<Prompt> {
        self.asked.lock().unwrap().iter().map(|(prompt, _)| prompt.clone()).collect()
    }
}

fn attempt(key: &str) -> AttemptReport {
    let key_id = KeyId::parse(key).unwrap();
    AttemptReport::success(key_id, ProjectId::from("p"), ModelName::from("gemini-2.5-flash"), Duration::ZERO)
}

fn reply(text: &str) -> Reply {
    Reply {
        text: text.to_owned(),
        finish: Finish::Complete,
        model: ModelName::from("gemini-2.5-flash"),
        model_version: Some("gemini-2.5-flash-001".to_owned()),
        key_id: KeyId::parse("flash_01").unwrap(),
        attempts: vec![attempt("flash_01")],
        usage: TokenUsage::new(100, 20),
        elapsed: Duration::from_secs(2),
    }
}

fn fenced(code: &str) -> String {
    format!("```python\n{code}\n```\n")
}

fn options() -> GenerateOptions {
    GenerateOptions::default().model("gemini-2.5-flash")
}

#[tokio::test]
async fn a_good_reply_is_one_call() {
    let script = Script::of([Ok(reply(&fenced(GOOD)))]);
    let strategy = script.generator().generate("cross", &options()).await.unwrap();
    assert_eq!((strategy.code.as_str(), strategy.class_name.as_str()), (GOOD, "Cross"));
    assert_eq!(strategy.model_version.as_deref(), Some("gemini-2.5-flash-001"));
    assert_eq!(strategy.key_id.as_str(), "flash_01");
    assert_eq!(strategy.attempts, [attempt("flash_01")]);
    assert_eq!(strategy.usage, TokenUsage::new(100, 20));
    assert!(!strategy.repaired);
    assert_eq!(strategy.warnings, [""; 0]);

    let (prompt, request) = script.asked.lock().unwrap()[0].clone();
    assert_eq!(prompt.system, SYSTEM_INSTRUCTION);
    assert_eq!(request.model, Some(ModelName::from("gemini-2.5-flash")));
    assert_eq!(request.input_tokens, prompt.estimated_tokens());
    assert_eq!(request.deadline, Duration::from_secs(120));
}

#[tokio::test]
async fn nothing_is_sent_without_a_description_or_with_an_impossible_name() {
    let script = Script::of([]);
    for empty in ["", " \n\t"] {
        let error = script.generator().generate(empty, &options()).await.unwrap_err();
        assert!(matches!(error, GenerateError::EmptyDescription), "{error}");
    }
    let error = script.generator().generate("x", &options().class_name("2nd")).await.unwrap_err();
    assert!(matches!(error, GenerateError::BadOption { .. }), "{error}");
    assert!(error.spent().is_none());
    assert_eq!(script.prompts().len(), 0);
}

#[tokio::test]
async fn one_repair_with_the_exact_finding_the_code_and_nothing_else() {
    let mut second = reply(&fenced(GOOD));
    second.key_id = KeyId::parse("flash_02").unwrap();
    second.attempts = vec![attempt("flash_02")];
    let script = Script::of([Ok(reply(&fenced(BAD))), Ok(second)]);
    let strategy = script.generator().generate("a very particular wish", &options()).await.unwrap();
    assert!(strategy.repaired);
    assert_eq!(strategy.code, GOOD);
    assert_eq!(strategy.key_id.as_str(), "flash_02");
    assert_eq!(strategy.attempts, [attempt("flash_01"), attempt("flash_02")]);
    assert_eq!(strategy.usage, TokenUsage::new(200, 40));

    let prompts = script.prompts();
    assert_eq!(prompts.len(), 2);
    assert_eq!(prompts[1].system, SYSTEM_INSTRUCTION);
    assert!(prompts[1].text.contains("line 2, column 19: Expected `:`, found newline [syntax]"));
    assert!(prompts[1].text.contains(BAD));
    assert!(!prompts[1].text.contains("a very particular wish"));
    let request = script.asked.lock().unwrap()[1].1.clone();
    assert_eq!(request.deadline, Duration::from_secs(118), "the first reply took two seconds");
    assert_eq!(request.input_tokens, prompts[1].estimated_tokens());
}

#[tokio::test]
async fn after_the_last_repair_the_finding_and_the_code_are_returned() {
    let script = Script::of([Ok(reply(&fenced(GOOD).replace("init", "start"))), Ok(reply(&fenced(BAD)))]);
    let error = script.generator().generate("x", &options().repairs(1)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("gemini-2.5-flash gave no usable strategy in 2 replies: line 2, column 19"),
        "{text}"
    );
    let GenerateError::Invalid { fault, strategy, spent, .. } = error else { panic!("{text}") };
    assert_eq!((fault.reason, strategy.code.as_str()), (Reason::Rule(Rule::Syntax), BAD));
    assert_eq!(spent.attempts.len(), 2);
    assert_eq!(spent.usage, TokenUsage::new(200, 40));
    assert_eq!((strategy.attempts, strategy.usage), (spent.attempts, spent.usage));
    assert!(!strategy.verified);
}

#[tokio::test]
async fn repairs_are_as_many_as_asked_for() {
    for repairs in [0, 3] {
        let script = Script::of((0..=repairs).map(|_| Ok(reply(&fenced(BAD)))));
        let error = script.generator().generate("x", &options().repairs(repairs)).await.unwrap_err();
        assert!(matches!(error, GenerateError::Invalid { replies, .. } if replies == repairs + 1), "{error}");
        assert_eq!(script.prompts().len() as u32, repairs + 1);
    }
}

#[tokio::test]
async fn no_repair_is_begun_after_the_deadline() {
    let script = Script::of([Ok(reply(&fenced(BAD)))]);
    let options = options().deadline(Duration::from_secs(2));
    let error = script.generator().generate("x", &options).await.unwrap_err();
    assert!(matches!(error, GenerateError::Invalid { replies: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_block_is_returned_at_once_even_with_code_beside_it() {
    for (blocked, says) in [
        (Blocked::Prompt("SAFETY".to_owned()), "blocked the prompt (SAFETY)"),
        (Blocked::Reply("RECITATION".to_owned()), "blocked its reply (RECITATION)"),
    ] {
        let finish = Finish::Blocked(blocked);
        let script = Script::of([Ok(Reply { finish, ..reply(&fenced(GOOD)) })]);
        let error = script.generator().generate("x", &options().repairs(5)).await.unwrap_err();
        assert!(
            matches!(error, GenerateError::Blocked { .. }) && error.to_string().contains(says),
            "{error}"
        );
        assert_eq!(error.spent().unwrap().attempts.len(), 1);
        assert_eq!(script.prompts().len(), 1);
    }
}

#[tokio::test]
async fn a_cut_off_reply_is_no_block_and_no_repair() {
    let script = Script::of([Ok(Reply { finish: Finish::OutputLimit, ..reply(&fenced(GOOD)) })]);
    let error = script.generator().generate("x", &options().max_output_tokens(500)).await.unwrap_err();
    assert!(matches!(error, GenerateError::Truncated { max_output_tokens: 500, .. }), "{error}");
    assert!(error.to_string().contains("cut off at 500 output tokens"), "{error}");
    assert_eq!(script.prompts()[0].max_output_tokens, 500);

    let finish = Finish::Other("LANGUAGE".to_owned());
    let script = Script::of([Ok(Reply { finish, ..reply("") })]);
    let error = script.generator().generate("x", &options()).await.unwrap_err();
    assert!(matches!(&error, GenerateError::Unfinished { reason, .. } if reason == "LANGUAGE"), "{error}");
}

#[tokio::test]
async fn a_reply_without_code_is_asked_for_again_with_the_description() {
    let script = Script::of([Ok(reply("Which period do you want?")), Ok(reply(&fenced(GOOD)))]);
    let strategy = script.generator().generate("my wish", &options()).await.unwrap();
    assert!(strategy.repaired);
    let second = &script.prompts()[1].text;
    assert!(second.contains("my wish") && second.contains("Which period do you want?"), "{second}");

    let script = Script::of([Ok(reply(""))]);
    let error = script.generator().generate("x", &options().repairs(0)).await.unwrap_err();
    assert!(error.to_string().contains("the reply is empty"), "{error}");
}

#[tokio::test]
async fn a_failed_call_keeps_every_attempt_and_why_it_was_made() {
    let mut tried = attempt("flash_02");
    (tried.outcome, tried.detail) = ("overload", "503 the model is overloaded".to_owned());
    let failed = CallError::new(vec![tried.clone()], CallCause::Acquire(AcquireError::Closed));
    let script = Script::of([Ok(reply(&fenced(BAD))), Err(failed)]);
    let error = script.generator().generate("x", &options()).await.unwrap_err();
    assert!(matches!(error.acquire(), Some(AcquireError::Closed)));
    assert_eq!(error.spent().unwrap().attempts, [attempt("flash_01"), tried]);
    assert_eq!(error.spent().unwrap().usage, TokenUsage::new(100, 20));
    let text = error.to_string();
    for part in [
        "the key pool is closed\n",
        "tried flash_02 with gemini-2.5-flash: 503 the model is overloaded (overload)",
        "while a reply was to be corrected: line 2, column 19",
    ] {
        assert!(text.contains(part), "{text}");
    }

    let failed = CallError::new(Vec::new(), CallCause::Failed("400 the request is malformed".into()));
    let script = Script::of([Err(failed)]);
    let error = script.generator().generate("x", &options()).await.unwrap_err();
    assert!(error.acquire().is_none() && error.retry_after().is_none());
    assert_eq!(error.to_string(), "400 the request is malformed");
}

#[tokio::test]
async fn a_repair_that_cannot_be_had_takes_the_best_reply_not_away() {
    let failed = || Err(CallError::new(vec![attempt("flash_03")], CallCause::Acquire(AcquireError::Closed)));
    let ended = |finish| Ok(Reply { finish, ..reply(&fenced(GOOD)) });
    for end in [
        failed(),
        ended(Finish::OutputLimit),
        ended(Finish::Blocked(Blocked::Reply("SAFETY".to_owned()))),
        ended(Finish::Other("LANGUAGE".to_owned())),
    ] {
        let wrong_name = fenced(&GOOD.replace("init", "start"));
        let script = Script::of([Ok(reply(&wrong_name)), Ok(reply("no code")), end]);
        let error = script.generator().generate("x", &options()).await.unwrap_err();
        let best = error.best().expect("the first one");
        assert_eq!(best.code, GOOD.replace("init", "start"), "{error}");
        assert_eq!(best.report.fault.as_ref().unwrap().reason, Reason::Rule(Rule::MissingMethod));
        assert_eq!(best.attempts, error.spent().unwrap().attempts);
        assert_eq!((best.attempts.len(), best.usage), (3, error.spent().unwrap().usage));
    }
    let error = Script::of([failed()]).generator().generate("x", &options()).await.unwrap_err();
    assert!(error.best().is_none());
}

#[tokio::test]
async fn a_class_of_another_name_is_renamed_without_a_call() {
    let script = Script::of([Ok(reply(&fenced(GOOD)))]);
    let strategy = script.generator().generate("x", &options().class_name("Wanted")).await.unwrap();
    assert_eq!(strategy.class_name, "Wanted");
    assert_eq!(strategy.code, GOOD.replace("Cross", "Wanted"));
    assert_eq!(strategy.warnings.len(), 1);
    assert!(strategy.warnings[0].contains("Cross"), "{:?}", strategy.warnings);
}

#[tokio::test]
async fn a_model_that_was_not_asked_is_a_warning() {
    for (answered, fallback, warnings) in [
        (Some("gemini-2.5-flash-preview-09-2025"), false, &[][..]),
        (None, false, &[][..]),
        (Some("gemini-3.8-flash"), false, &["gemini-2.5-flash was asked, gemini-3.8-flash answered."][..]),
        (
            Some("gemini-2.5-flash"),
            true,
            &["No key could serve gemini-9; its fallback gemini-2.5-flash was asked."],
        ),
    ] {
        let model_version = answered.map(str::to_owned);
        let script = Script::of([Ok(Reply { model_version, ..reply(&fenced(GOOD)) })]);
        let options =
            if fallback { options().model("gemini-9").fallback("gemini-2.5-flash") } else { options() };
        let strategy = script.generator().generate("x", &options).await.unwrap();
        assert_eq!(strategy.warnings, warnings);
    }
}

#[tokio::test]
async fn an_unclosed_block_that_can_be_used_is_a_warning() {
    let script = Script::of([Ok(reply(&format!("```python\n{GOOD}")))]);
    let strategy = script.generator().generate("x", &options()).await.unwrap();
    assert!(strategy.warnings[0].contains("not closed"), "{:?}", strategy.warnings);
}

#[tokio::test]
async fn progress_names_the_round() {
    let script = Script::of([Ok(reply(&fenced(BAD))), Ok(reply(&fenced(GOOD)))]);
    let mut seen = Vec::new();
    let mut watch = |progress: Progress| seen.push((progress.round, progress.chars, progress.output_tokens));
    script.generator().generate_with_progress("x", &options(), &mut watch).await.unwrap();
    let (bad, good) = (fenced(BAD).chars().count(), fenced(GOOD).chars().count());
    assert_eq!(seen, [(0, 1, None), (0, bad, Some(20)), (1, 1, None), (1, good, Some(20))]);
}

#[test]
fn generators_and_their_work_can_be_sent_between_threads() {
    fn sendable(_: impl Send) {}
    let generator = Script::of([]).generator();
    sendable(generator.clone());
    sendable(generator.generate("x", &options()));
}

#[tokio::test]
async fn a_class_attribute_that_was_asked_for_is_checked_and_sent_back() {
    let with = |body: &str| {
        fenced(&GOOD.replace("class Cross(Strategy):\n", &format!("class Cross(Strategy):\n    {body}\n\n")))
    };
    let script = Script::of([
        Ok(reply(&fenced(GOOD))),
        Ok(reply(&with("fast = 12"))),
        Ok(reply(&with("fast: int = (10)"))),
    ]);
    let options = options().parameter("fast", "10").class_name("Mine");
    let strategy = script.generator().generate("cross", &options).await.unwrap();
    assert!(strategy.code.contains("class Mine(Strategy):\n    fast: int = (10)"), "{}", strategy.code);
    let prompts = script.prompts();
    assert!(
        prompts[1].text.contains("line 4, column 7: the class has no attribute fast [parameter]"),
        "{}",
        prompts[1].text
    );
    let second = &prompts[2].text;
    assert!(second.contains("the class attribute fast is 12, not 10 [parameter]"), "{second}");
    assert!(second.contains("Write fast = 10 in the body of the class."), "{second}");
}

#[tokio::test]
async fn a_module_is_changed_or_corrected_with_nothing_but_itself_and_what_is_wanted() {
    let script = Script::of([Ok(reply(&fenced(GOOD))), Ok(reply("no code")), Ok(reply(&fenced(GOOD)))]);
    let generator = script.generator();
    let mut ignore = |_| ();
    let improved = generator.improve("x = 1\n", "also sell short", &options(), &mut ignore).await.unwrap();
    assert_eq!((improved.code.as_str(), improved.repaired), (GOOD, false));
    let fault = Pipeline::default().verify_code(BAD).await.fault.unwrap();
    generator.fix(BAD, &fault, &options(), &mut ignore).await.unwrap();
    let [change, fix, again] = &script.prompts()[..] else { panic!("three calls") };
    assert!(
        change.text.contains("x = 1") && change.text.contains("Change: also sell short"),
        "{}",
        change.text
    );
    assert!(
        fix.text.contains(BAD) && fix.text.contains("[syntax]") && !fix.text.contains("short"),
        "{}",
        fix.text
    );
    assert!(again.text.starts_with(&fix.text) && again.text.contains("[no-code]"), "{}", again.text);
    let error = generator.improve(GOOD, " ", &options(), &mut ignore).await.unwrap_err();
    assert!(matches!(error, GenerateError::EmptyDescription));
}
