//! The last stage: is what a run has shown worth trusting?

use crate::backtest::Backtest;
use crate::fault::{Fault, Reason, Stage};

/// `Ok` for a strategy that trades, repeats itself, keeps its money's worth a number above zero and does not
/// look ahead; else the first of these that is broken.
///
/// One perturbed run that changed a decision is enough: an honest strategy has none.
pub fn judge(backtest: &Backtest) -> Result<(), Fault> {
    let fault = |reason, message: String, hint: &str| Err(Fault::new(Stage::Judge, reason, message, hint));
    if !backtest.same_again || !backtest.same_elsewhere {
        let between =
            if backtest.same_again { "two interpreters" } else { "two runs in the same interpreter" };
        return fault(
            Reason::NotRepeatable,
            format!("{between} gave different trades on the same prices"),
            "Use no random numbers without a fixed seed, no order of a set, nothing kept in the class or the module \
             between runs.",
        );
    }
    match backtest.lowest_equity {
        None => {
            return fault(
                Reason::NotFinite,
                "the equity is not a finite number on every bar".to_owned(),
                "Let no NaN or infinity reach a size, a limit or a stop.",
            );
        }
        Some(lowest) if lowest <= 0.0 => {
            return fault(
                Reason::Bankrupt,
                "the strategy loses everything: its equity falls to zero".to_owned(),
                "Limit the loss of a trade with a stop, use a smaller size, and do not add to losing trades.",
            );
        }
        Some(_) => {}
    }
    if backtest.trades == 0 {
        return fault(
            Reason::NoTrades,
            "the strategy never trades on these prices".to_owned(),
            "Check that the conditions can be met, that indicators have values, and that orders can be filled.",
        );
    }
    let seen = &backtest.look_ahead;
    if seen.flagged > 0 {
        let examples: String = seen.examples.iter().map(|example| format!("; {example}")).collect();
        return fault(
            Reason::LookAhead,
            format!(
                "the strategy looks into the future: in {} of {} runs it decided otherwise when only later prices \
                 were changed{examples}",
                seen.flagged, seen.tried
            ),
            "Let each value depend on its own bar and earlier ones only: no negative shift, no centred window, no \
             mean, minimum or rank of the whole series, no array of init that next reads.",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::LookAhead;

    fn good() -> Backtest {
        Backtest {
            trades: 12,
            lowest_equity: Some(9_000.0),
            same_again: true,
            same_elsewhere: true,
            look_ahead: LookAhead { tried: 16, ..LookAhead::default() },
            ..Backtest::default()
        }
    }

    #[test]
    fn one_broken_promise_is_enough() {
        judge(&good()).unwrap();
        let seen = LookAhead { tried: 16, flagged: 1, examples: vec!["bar 7 (2004-09-01)".to_owned()] };
        for (backtest, reason) in [
            (Backtest { trades: 0, ..good() }, Reason::NoTrades),
            (Backtest { lowest_equity: None, ..good() }, Reason::NotFinite),
            (Backtest { lowest_equity: Some(0.0), ..good() }, Reason::Bankrupt),
            (Backtest { lowest_equity: Some(-3.0), ..good() }, Reason::Bankrupt),
            (Backtest { same_again: false, ..good() }, Reason::NotRepeatable),
            (Backtest { same_elsewhere: false, ..good() }, Reason::NotRepeatable),
            (Backtest { look_ahead: seen, ..good() }, Reason::LookAhead),
        ] {
            let fault = judge(&backtest).unwrap_err();
            assert_eq!((fault.stage, fault.reason), (Stage::Judge, reason));
            assert!(!fault.hint.is_empty());
        }
    }

    #[test]
    fn what_was_seen_is_in_the_message() {
        let seen = LookAhead { tried: 16, flagged: 9, examples: vec!["bar 7 (2004-09-01)".to_owned()] };
        let fault = judge(&Backtest { look_ahead: seen, ..good() }).unwrap_err();
        assert!(fault.message.contains("9 of 16") && fault.message.contains("bar 7"), "{fault}");
    }
}
