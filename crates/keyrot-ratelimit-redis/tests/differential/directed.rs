//! Cases that are worth a name.

use super::*;

/// straight.lua reads the pool and one record; where it has to leave a question to the other rules these
/// read the record again.
#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn what_mostly_happens_is_answered_by_the_straight_script() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let raw = raw_connection(&server.url()).await;
    let limits = vec![Limits::new(Some(12), Some(3_000), Some(30)), Limits::new(None, None, None)];
    let mut bench = bench(&server.url(), &raw, "straight", limits);
    let learn = |value| Step::Settle(vec![], vec![Judge::Learn(0, Quota::RequestsPerMinute, value)], 0);
    bench.step(&Step::Reserve(vec![0], vec![100], 50, true, 1)).await;
    let mut proof = bench.batch(&[], &[], 0);
    let disposition = Disposition::Sent { input_tokens: Some(90), proven: true };
    proof.settlements.push(Settlement { reservation: bench.under_way.remove(0), disposition });
    bench.batches.push(proof.clone()); // the next one has another number
    bench.settle(proof).await;
    bench.step(&Step::Wait(61_000)).await;
    let usual = std::mem::replace(&mut bench.limits[0], Limits::new(None, Some(0), None));
    bench.step(&Step::Reserve(vec![0], vec![0], 50, true, 1)).await; // nothing fits, not even nothing
    bench.limits[0] = usual;
    // but for about 30 s, after the other steps
    let until_the_day_ends = pacific_day_end(bench.now) - bench.now - 30_000 - 63_500;
    for (before, offered, tokens, together, calls, why) in [
        (Step::Wait(0), vec![0], 100, 1, [1, 2, 0], "in the first cell"),
        (Step::Wait(1_500), vec![0], 100, 1, [1, 2, 0], "in a new cell"),
        (Step::Wait(968), vec![0], 1, 1, [1, 2, 2], "in the last moment of a cell"),
        (Step::Wait(1), vec![0, 1], 0, 1, [1, 2, 0], "the first of two has room"),
        (Step::Back(1), vec![0], 7, 1, [1, 2, 2], "time went back"),
        (Step::Wait(2), vec![0], 100, 4, [2, 4, 4], "four together: one, then three"),
        (Step::Wait(3), vec![0], 2_600, 1, [1, 3, 0], "no room for the tokens"),
        (Step::Wait(3), vec![0], 1, 8, [2, 5, 2], "one of seven finds no room"),
        (Step::Wait(61_000), vec![0], 100, 1, [1, 2, 0], "what was counted has left the window"),
        (Step::Wait(3), vec![1], 100, 1, [1, 3, 0], "not proven"),
        (Step::Wait(until_the_day_ends), vec![0], 100, 1, [1, 2, 0], "all but the day has left the window"),
        (Step::Wait(1), vec![0], 100, 1, [1, 2, 0], "the window outlives the day"),
        (learn(Some(9)), vec![0], 100, 1, [1, 3, 0], "a learned limit"),
    ] {
        bench.step(&before).await;
        let calls_before = bench.calls().await;
        bench.reserve(&offered, &[tokens], 50, true, together).await;
        let calls_after = bench.calls().await;
        let made = [0, 1, 2].map(|of| calls_after[of] - calls_before[of]);
        assert_eq!(made, calls, "{why}: scripts, GET, SETRANGE");
        bench.compare_bytes().await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn a_request_given_back_and_recalled_is_written_by_neither() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let raw = raw_connection(&server.url()).await;
    let limits = vec![Limits::new(None, None, None); 3];
    let mut bench = bench(&server.url(), &raw, "recalled", limits);
    bench.step(&Step::Reserve(vec![2], vec![0], 1000, false, 2)).await;
    bench.step(&Step::Wait(61_000)).await;
    bench.step(&Step::Reserve(vec![2], vec![0], 0, false, 1)).await;
    bench.step(&Step::Wait(1_801_000)).await;
    bench.step(&Step::Back(1_740_001)).await;
    let mut batch = bench.batch(&[], &[Judge::Recall(2, vec![], true, 1)], 0);
    let disposition = Disposition::Release;
    batch.settlements.push(Settlement { reservation: bench.under_way.remove(0), disposition });
    bench.settle(batch).await;
    bench.compare_bytes().await;
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test"]
async fn callers_who_ask_different_things_together_get_their_own_answers() {
    let server = RedisServer::start(keyrot_test_servers::RedisOptions::default()).await;
    let raw = raw_connection(&server.url()).await;
    let limits = vec![Limits::new(Some(4), None, None), Limits::new(None, Some(24), None)];
    let mut bench = bench(&server.url(), &raw, "mixed", limits);
    let kinds: [(&[usize], &[u64]); 4] =
        [(&[0], &[1]), (&[0, 1], &[7]), (&[1], &[5, 5, 9]), (&[1, 0], &[70])];
    // the first goes by itself, the others together: those that are alike one after another
    let asked = [0, 1, 2, 0, 3, 1, 2, 1, 0, 3];
    let mut order: Vec<usize> = (1..asked.len()).collect();
    order.sort_by_key(|at| asked[1..].iter().position(|kind| kind == &asked[*at]));
    order.insert(0, 0);
    // at first no group is proven, then all are
    for _ in 0..2 {
        bench.step(&Step::Wait(61_000)).await;
        let callers = asked.map(|kind| {
            let (offered, tokens) = kinds[kind];
            let ask = |tokens: &u64| Ask { tokens: *tokens, probe_ttl: Duration::from_millis(50) };
            (
                offered.iter().map(|group| bench.candidate(*group)).collect::<Vec<_>>(),
                tokens.iter().map(ask).collect::<Vec<_>>(),
            )
        });
        let theirs = join_all(
            callers.iter().map(|(candidates, asks)| bench.limiter.reserve(candidates, asks, bench.seen)),
        );
        let theirs: Vec<_> = theirs.await.into_iter().map(Result::unwrap).collect();
        for at in &order {
            let (candidates, asks) = &callers[*at];
            let ours = books::reserve(&mut bench.model, bench.now, candidates, asks, bench.seen).unwrap();
            assert_eq!(format!("{:#?}", theirs[*at]), format!("{ours:#?}"), "caller {at}");
            bench.under_way.extend(ours.grants.into_iter().map(|grant| grant.reservation));
        }
        bench.compare_bytes().await;
        let mut proof = bench.batch(&[], &[], 0);
        let disposition = Disposition::Sent { input_tokens: Some(3), proven: true };
        let settled = bench.under_way.drain(..);
        proof.settlements.extend(settled.map(|reservation| Settlement { reservation, disposition }));
        bench.batches.push(proof.clone());
        bench.settle(proof).await;
    }
}
