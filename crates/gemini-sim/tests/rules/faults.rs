//! Scripted faults and what answers look like, in virtual time.

use gemini_sim::{
    Break, Call, Fault, FaultKind, Latency, Limits, Model, Operation, Reply, Ruling, Verdict, Window,
};

use crate::{MODEL, NOON, PROMPT, call, config, detail, engine, error, rulings, status};

#[test]
fn overload_is_charged_and_key_trouble_is_not() {
    for (kind, charged) in [
        (FaultKind::Overloaded, true),
        (FaultKind::Internal, true),
        (FaultKind::DeadlineExceeded, true),
        (FaultKind::Cut, true),
        (FaultKind::KeyInvalid, false),
        (FaultKind::QuotaBare, false),
        (FaultKind::Verbatim { status: 502, body: String::new(), content_type: None }, true),
        (FaultKind::Verbatim { status: 418, body: String::new(), content_type: None }, false),
    ] {
        let fault = Fault::new(kind.clone()).times(1);
        let mut engine = engine(config(Limits::default().rpm(1)).window(Window::Sliding).fault(fault));
        status(&mut engine, NOON, "secret-a1");
        let after = status(&mut engine, NOON, "secret-a1");
        assert_eq!(after, Some(if charged { 429 } else { 200 }), "{kind:?}");
        let ruling = if charged { Ruling::FaultCharged } else { Ruling::FaultUncharged };
        assert_eq!(rulings(&engine)[0], ruling, "{kind:?}");
    }
}

#[test]
fn filters_times_and_periods_choose_the_calls_that_a_fault_meets() {
    let mut engine = engine(
        config(Limits::default())
            .fault(Fault::new(FaultKind::KeyLeaked).key("a2").from_ms(5_000))
            .fault(Fault::new(FaultKind::Overloaded).project("beta").between_ms(1_000, 2_000))
            .fault(Fault::new(FaultKind::Internal).model("gemini-flash-latest").times(2)),
    );
    assert_eq!(status(&mut engine, NOON, "secret-a2"), Some(200));
    assert_eq!(status(&mut engine, NOON + 999, "secret-b1"), Some(200));
    assert_eq!(status(&mut engine, NOON + 1_000, "secret-b1"), Some(503));
    assert_eq!(status(&mut engine, NOON + 1_999, "secret-b1"), Some(503));
    assert_eq!(status(&mut engine, NOON + 2_000, "secret-b1"), Some(200));
    assert_eq!(status(&mut engine, NOON + 4_999, "secret-a2"), Some(200));
    assert_eq!(status(&mut engine, NOON + 5_000, "secret-a1"), Some(200));
    assert_eq!(status(&mut engine, NOON + 5_000, "secret-a2"), Some(403));
    let alias = Call::generate("secret-a1", "gemini-flash-latest", PROMPT);
    let seen: Vec<_> = (0..3).map(|_| engine.arrive(NOON + 5_000, &alias).status()).collect();
    assert_eq!(seen, [Some(500), Some(500), Some(200)]);
}

#[test]
fn a_probability_holds_on_the_average_and_repeats_with_the_seed() {
    let storm = || {
        let config = config(Limits::default()).fault(Fault::new(FaultKind::Overloaded).probability(0.3));
        let mut engine = engine(config.latency(Latency::Lognormal { median_ms: 80.0, sigma: 0.6 }));
        (0..2_000).map(|step| engine.arrive(NOON + step, &call("secret-a1"))).collect::<Vec<Verdict>>()
    };
    let first = storm();
    let overloaded = first.iter().filter(|verdict| verdict.status() == Some(503)).count();
    assert!((540..660).contains(&overloaded), "{overloaded} of 2000");
    assert_eq!(first, storm());
}

#[test]
fn a_scripted_429_names_its_delay_and_a_daily_one_its_day() {
    let config = config(Limits::default().rpm(60))
        .fault(Fault::new(FaultKind::Quota { retry_after_s: 30.0 }).key("a1"))
        .fault(Fault::new(FaultKind::QuotaDay).key("a2"))
        .fault(Fault::new(FaultKind::CapacityExhausted).key("b1"));
    let mut engine = engine(config);
    let minute = error(&engine.arrive(NOON, &call("secret-a1")));
    assert_eq!(detail(&minute, "RetryInfo")["retryDelay"], "30s");
    assert_eq!(detail(&minute, "QuotaFailure")["violations"][0]["quotaValue"], "60");
    assert!(minute["message"].as_str().unwrap().ends_with("\nPlease retry in 30s."));
    let day = error(&engine.arrive(NOON + 18_000, &call("secret-a2")));
    assert_eq!(detail(&day, "RetryInfo")["retryDelay"], "42s");
    let violation = &detail(&day, "QuotaFailure")["violations"][0];
    assert_eq!(violation["quotaId"], "GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    assert!(violation.get("quotaValue").is_none(), "there is no limit a day to learn");
    assert!(!day["message"].as_str().unwrap().contains("limit:"));
    let capacity = error(&engine.arrive(NOON, &call("secret-b1")));
    assert_eq!(
        (&capacity["code"], &capacity["details"][0]["reason"]),
        (&429.into(), &"MODEL_CAPACITY_EXHAUSTED".into())
    );
}

#[test]
fn only_the_suspended_body_prints_the_key() {
    let kinds = [
        FaultKind::KeyInvalid,
        FaultKind::KeyExpired,
        FaultKind::KeyLeaked,
        FaultKind::KeySuspended,
        FaultKind::KeyIpBlocked,
        FaultKind::Unauthenticated,
        FaultKind::ProjectDenied,
        FaultKind::ServiceDisabled,
        FaultKind::OutOfCredit,
        FaultKind::LocationUnsupported,
    ];
    for kind in kinds {
        let mut engine = engine(config(Limits::default()).fault(Fault::new(kind.clone())));
        let verdict = engine.arrive(NOON, &call("secret-a1"));
        let printed = error(&verdict).to_string().matches("secret-a1").count();
        assert_eq!(printed, if kind == FaultKind::KeySuspended { 2 } else { 0 }, "{kind:?}");
        assert!(!format!("{engine:?}").contains("secret-a1"), "{kind:?}");
    }
}

#[test]
fn answers_are_spoiled_as_scripted() {
    let answered = |kind: FaultKind, operation| {
        let mut engine = engine(config(Limits::default()).fault(Fault::new(kind)));
        match engine.arrive(NOON, &call("secret-a1").operation(operation)).reply {
            Reply::Answer(answer) => *answer,
            other => panic!("{other:?}"),
        }
    };
    let blocked = answered(FaultKind::SafetyBlock, Operation::Generate);
    assert_eq!(
        (blocked.text.as_str(), blocked.finish_reason, blocked.block_reason),
        ("", None, Some("SAFETY"))
    );
    assert_eq!(answered(FaultKind::SafetyStop, Operation::Generate).finish_reason, Some("SAFETY"));
    let cut_short = answered(FaultKind::Truncate, Operation::Generate);
    assert_eq!(cut_short.finish_reason, Some("MAX_TOKENS"));
    assert_eq!(cut_short.text.matches("```").count(), 1, "the fence stays open");
    assert!(answered(FaultKind::BadCode, Operation::Generate).text.contains("def init(self)\n"));
    assert_eq!(answered(FaultKind::CutMidStream, Operation::Stream).broken, Some(Break::Cut));
    let event = answered(FaultKind::StreamErrorEvent { code: 503 }, Operation::Stream).broken.unwrap();
    assert!(matches!(event, Break::ErrorEvent(json) if json.starts_with("{\"error\":{\"code\":503,")));
    let tail = answered(FaultKind::StreamErrorTail { code: 429 }, Operation::Stream).broken.unwrap();
    assert!(
        matches!(tail, Break::ErrorTail(json) if json.starts_with("{\n  \"error\": {\n    \"code\": 429,"))
    );
    assert_eq!(answered(FaultKind::StreamErrorEvent { code: 503 }, Operation::Generate).broken, None);
}

#[test]
fn only_who_asks_for_json_gets_it_or_is_refused() {
    let schema = serde_json::json!({"type": "OBJECT", "properties": {"code": {"type": "STRING"}}});
    let structured = || Call { schema: Some(schema.clone()), ..call("secret-a1") };
    let mut engine =
        engine(config(Limits::default().rpm(2)).fault(Fault::new(FaultKind::SchemaRefused).times(1)));
    let refused = error(&engine.arrive(NOON, &structured()));
    assert_eq!(refused["message"], format!("JSON mode is not enabled for models/{MODEL}"));
    let plain = engine.arrive(NOON, &call("secret-a1"));
    assert!(matches!(plain.reply, Reply::Answer(answer) if answer.text.contains("```python")));
    let Reply::Answer(answer) = engine.arrive(NOON, &structured()).reply else {
        panic!("the refusal took quota")
    };
    let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert!(json["code"].as_str().unwrap().starts_with("import pandas"), "{json}");
    let asked: Vec<bool> = engine.attempts().map(|attempt| attempt.structured).collect();
    assert_eq!(asked, [true, false, true]);
}

#[test]
fn max_output_tokens_include_thinking_and_can_leave_nothing_to_say() {
    let mut thinker = Model::new("thinker");
    thinker.thinking_tokens = 478;
    let mut config = config(Limits::default());
    config.models.push(thinker);
    let mut engine = engine(config);
    let mut ask = |most| {
        let call = Call { max_output_tokens: Some(most), ..Call::generate("secret-b1", "thinker", PROMPT) };
        match engine.arrive(NOON, &call).reply {
            Reply::Answer(answer) => *answer,
            other => panic!("{other:?}"),
        }
    };
    let some = ask(500);
    assert_eq!((some.finish_reason, some.usage.candidates_token_count), (Some("MAX_TOKENS"), 22));
    assert_eq!(some.usage.total_token_count, some.usage.prompt_token_count + 500);
    let none = ask(400);
    assert_eq!((none.text.as_str(), none.finish_reason), ("", Some("MAX_TOKENS")));
    assert_eq!(ask(8_192).finish_reason, Some("STOP"));
}

#[test]
fn slow_faults_add_up_and_the_call_is_still_answered() {
    let slow = Fault::new(FaultKind::Slow { extra_ms: 2_000 });
    let config = config(Limits::default()).latency(Latency::Fixed { ms: 50 }).fault(slow.clone()).fault(slow);
    let verdict = engine(config).arrive(NOON, &call("secret-a1"));
    assert_eq!((verdict.status(), verdict.latency.as_millis()), (Some(200), 4_050));
}

#[test]
fn counting_and_listing_take_no_quota_and_meet_key_faults_only() {
    let config = config(Limits::default().rpm(1))
        .fault(Fault::new(FaultKind::Overloaded))
        .fault(Fault::new(FaultKind::KeyInvalid).key("a2"));
    let mut engine = engine(config);
    for operation in [Operation::CountTokens, Operation::ListModels, Operation::GetModel] {
        let model = if operation == Operation::ListModels { "" } else { MODEL };
        let ask = |secret| Call::generate(secret, model, PROMPT).operation(operation);
        assert_eq!(engine.arrive(NOON, &ask("secret-a1")).reply, Reply::Granted, "{operation:?}");
        assert_eq!(engine.arrive(NOON, &ask("secret-a2")).status(), Some(400), "{operation:?}");
    }
    assert_eq!(engine.state(NOON).quotas, []);
}

#[test]
fn state_shows_the_books_and_reset_empties_them() {
    let mut config = config(Limits::default().rpm(5).rpd(9)).fault(Fault::new(FaultKind::Internal).times(1));
    config.record_limit = 2;
    let mut engine = engine(config);
    for _ in 0..3 {
        status(&mut engine, NOON + 10, "secret-a1");
    }
    let state = engine.state(NOON + 20);
    let quota = &state.quotas[0];
    assert_eq!((quota.project.as_str(), quota.model.as_str(), quota.requests_today), ("alpha", MODEL, 3));
    assert_eq!(quota.requests_per_minute.map(|usage| (usage.used, usage.limit)), Some((3, 5)));
    assert_eq!((state.attempts, state.forgotten, state.faults[0].struck), (3, 1, 1));
    assert_eq!(state.day_ends_ms, 1_767_686_400_000);
    engine.reset(NOON + 30);
    let state = engine.state(NOON + 30);
    assert_eq!((state.attempts, state.quotas.len(), state.faults[0].struck), (0, 0, 0));
    assert_eq!(status(&mut engine, NOON + 30, "secret-a1"), Some(500), "the configured fault is back");
}

#[test]
fn a_fault_added_later_is_checked() {
    let mut engine = engine(config(Limits::default()));
    let error = engine.add_fault(Fault::new(FaultKind::Cut).key("nobody")).unwrap_err();
    assert!(error.contains("\"nobody\""), "{error}");
    engine.add_fault(Fault::new(FaultKind::Cut).key("a1")).unwrap();
    assert_eq!(status(&mut engine, NOON, "secret-a1"), None);
    engine.clear_faults();
    assert_eq!(status(&mut engine, NOON, "secret-a1"), Some(200));
}

#[test]
fn an_engine_can_be_sent_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&engine(config(Limits::default())));
}
