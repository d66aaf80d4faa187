//! What the model is told: one system instruction, one request, one repair request, and how many
//! tokens to reserve for them.

use serde_json::Value;

use crate::fault::Fault;
use crate::options::GenerateOptions;
use crate::structured::reply_schema;

/// The system instruction. What it says about backtesting.py holds for version 0.6.6;
/// `tests/prompt_claims.py` runs each statement and each example against it.
pub const SYSTEM_INSTRUCTION: &str = include_str!("system_instruction.md");

/// Changes whenever [`SYSTEM_INSTRUCTION`], [`reply_schema`] or the wording of a request changes.
pub const PROMPT_VERSION: u32 = 3;

/// What the provider adds around the texts: roles, turns and separators; measured figures are below 10
/// a message, and there are two.
const FRAME_TOKENS: u64 = 32;

/// A call to a model: what it is, what is asked, how much it may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// The system instruction.
    pub system: String,
    /// The user's turn.
    pub text: String,
    /// Most tokens of the reply, the model's thoughts included.
    pub max_output_tokens: u32,
    /// The form of the reply in JSON, for a model that can be held to one. A reply in text is understood as well.
    pub reply_schema: Value,
}

impl Prompt {
    /// A call with the system instruction and the schema of this crate.
    pub fn new(text: impl Into<String>, max_output_tokens: u32) -> Self {
        let (system, text) = (SYSTEM_INSTRUCTION.to_owned(), text.into());
        Self { system, text, max_output_tokens, reply_schema: reply_schema() }
    }

    /// Input tokens to reserve: a third of the bytes of both texts and of the schema, rounded up, and 32 for the frame.
    ///
    /// A token is about four characters of English; code and other alphabets run denser, and a
    /// character of those has two to four bytes. The reservation is corrected with the provider's own
    /// count after the call.
    pub fn estimated_tokens(&self) -> u64 {
        let schema = self.reply_schema.to_string();
        (self.system.len() + self.text.len() + schema.len()).div_ceil(3) as u64 + FRAME_TOKENS
    }
}

/// The request for a new strategy.
pub(crate) fn request(description: &str, options: &GenerateOptions) -> Prompt {
    let mut text = format!("Write this strategy:\n\n{}\n\n", description.trim());
    match &options.class_name {
        Some(name) => text.push_str(&format!("Class name: {name}\n")),
        None => text.push_str("Class name: one that says what the strategy does.\n"),
    }
    prompt(text + &attributes(options), options)
}

/// The request to change a module as somebody wishes.
pub(crate) fn improve(code: &str, wish: &str, options: &GenerateOptions) -> Prompt {
    let module = fenced(code);
    let text = format!(
        "Change this module as asked for below, leave the rest as it is, and reply with the whole module.\n\n{module}\n\n\
         Change: {}\n{}",
        wish.trim(),
        attributes(options),
    );
    prompt(text, options)
}

/// The request to correct a module: the module and what is wrong with it, nothing else.
pub(crate) fn repair(code: &str, fault: &Fault, options: &GenerateOptions) -> Prompt {
    let module = fenced(code);
    let text = format!(
        "Correct this module. Change only what the finding below asks for and reply with the whole module.\n\n{module}\n\n\
         Finding: {fault}\n",
    );
    prompt(text, options)
}

/// A request once more, after a reply without any code in it.
pub(crate) fn again(mut first: Prompt, fault: &Fault) -> Prompt {
    first.text.push_str(&format!("\nFinding in your last reply: {fault}\n"));
    first
}

fn prompt(text: String, options: &GenerateOptions) -> Prompt {
    let mut prompt = Prompt::new(text, options.max_output_tokens);
    if let Some(own) = &options.system_instruction {
        prompt.system.clone_from(own);
    }
    prompt
}

/// The class attributes that are wanted.
fn attributes(options: &GenerateOptions) -> String {
    if options.parameters.is_empty() {
        return String::new();
    }
    let lines = options.parameters.iter().map(|(name, value)| format!("{name} = {value}\n"));
    format!("\nClass attributes that it must have, with these defaults:\n{}", lines.collect::<String>())
}

fn fenced(code: &str) -> String {
    let fence = fence_around(code);
    format!("{fence}python\n{}\n{fence}", code.trim_end())
}

/// A fence longer than any run of backticks in the code.
fn fence_around(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::extract;
    use crate::fault::Stage;
    use crate::finding::{Finding, Rule};
    use crate::gate::Gate;

    fn examples() -> Vec<&'static str> {
        SYSTEM_INSTRUCTION
            .split("```python\n")
            .skip(1)
            .filter_map(|rest| rest.split_once("\n```").map(|(code, _)| code))
            // The first mention of a fence is in prose.
            .filter(|code| code.contains("(Strategy)"))
            .collect()
    }

    #[test]
    fn the_examples_of_the_instruction_pass_the_own_check() {
        let names: Vec<String> =
            examples().iter().map(|code| Gate::default().check(code).unwrap().class_name).collect();
        assert_eq!(names, ["RsiTrendStrategy", "MacdAtrStrategy", "BreakoutRiskStrategy"]);
    }

    #[test]
    fn the_request_carries_description_name_and_parameters() {
        let options = GenerateOptions::default().class_name("Cross").parameter("fast", "10");
        let prompt = request("  buy when 10 crosses 20 \n", &options);
        assert_eq!(
            prompt.text,
            "Write this strategy:\n\nbuy when 10 crosses 20\n\nClass name: Cross\n\n\
             Class attributes that it must have, with these defaults:\nfast = 10\n"
        );
        assert_eq!(prompt.max_output_tokens, 16_384);
        assert!(request("x", &GenerateOptions::default()).text.contains("says what the strategy does"));
    }

    #[test]
    fn a_change_carries_the_module_and_an_own_instruction_takes_the_place_of_ours() {
        let options = GenerateOptions::default().system_instruction("Mine.").parameter("n", "5");
        let prompt = improve("x = 1\n", " make it faster ", &options);
        assert_eq!(prompt.system, "Mine.");
        assert!(prompt.text.contains("```python\nx = 1\n```\n\nChange: make it faster\n"), "{}", prompt.text);
        assert!(prompt.text.ends_with("with these defaults:\nn = 5\n"), "{}", prompt.text);
    }

    #[test]
    fn the_estimate_is_a_third_of_the_bytes_and_the_frame() {
        let instruction = (SYSTEM_INSTRUCTION.len() + reply_schema().to_string().len()) as u64;
        let estimate = |text: &str| Prompt::new(text, 1).estimated_tokens();
        assert_eq!(estimate(""), instruction.div_ceil(3) + 32);
        assert_eq!(estimate(&"a".repeat(3000)), estimate("") + 1000);
        // One token a character for scripts that are denser than English.
        assert_eq!(estimate(&"買".repeat(3000)), estimate("") + 3000);
    }

    #[test]
    fn a_repair_holds_the_finding_and_the_code_and_survives_fences_inside() {
        let code = "def f():\n    '''\n    ```\n    '''\n    return (";
        let finding = Finding::new(Rule::Syntax, code, 5, 13, "unexpected EOF", "Close it.");
        let prompt = repair(code, &Fault::of(Stage::Gate, &finding.into()), &GenerateOptions::default());
        assert!(prompt.text.contains("line 5, column 13: unexpected EOF"), "{}", prompt.text);
        assert_eq!(extract(&prompt.text).unwrap().code, code);
    }
}
