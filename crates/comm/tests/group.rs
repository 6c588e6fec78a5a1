//! Groups of threads.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use resnet_comm::{Buckets, CommError, Group, InProcess, Transport, Wire, in_process, tree};

/// What each process of a group returns, by rank.
fn run<T: Send + 'static>(
    size: usize,
    work: impl Fn(Group) -> Result<T, CommError> + Send + Sync + 'static,
) -> Vec<Result<T, CommError>> {
    let work = Arc::new(work);
    let start = |transport: InProcess| {
        let work = Arc::clone(&work);
        thread::spawn(move || work(Group::start(move || Ok::<_, CommError>(transport))?))
    };
    let processes: Vec<_> = in_process(size).into_iter().map(start).collect();
    processes.into_iter().map(|process| process.join().unwrap()).collect()
}

/// Values of a process, whose sum depends on the order of additions.
fn values(rank: usize, len: usize) -> Vec<f32> {
    let value = |i: usize| {
        let bits = (rank * 2_654_435_761 + i * 40_503 + 17) % 1_000_003;
        (bits as f32 - 500_000.0) * [1e-6, 1.0, 1e3][(rank + i) % 3]
    };
    (0..len).map(value).collect()
}

#[test]
fn sums_are_those_of_the_tree_for_every_size_of_bucket() {
    for size in [1, 2, 3, 4, 8] {
        for wire in [Wire::Fp32, Wire::Bf16] {
            let rounded = move |rank| {
                let mut values = values(rank, 1000);
                wire.round(&mut values);
                values
            };
            let expected = tree::sum(wire, (0..size).map(rounded).collect());
            for bytes in [4, 92, 1 << 10, 1 << 20] {
                let sums = run(size, move |group| {
                    let mut arena = rounded(group.rank());
                    let mut buckets = Buckets::new(&group, wire, bytes);
                    // Last to first, with an empty range, and one that is left as it is.
                    for range in [600..1000, 600..600, 300..600, 1..300] {
                        buckets.add(range.clone(), &arena[range]);
                    }
                    buckets.finish(&mut arena)?;
                    let rank = group.rank();
                    group.finish(0)?;
                    Ok((rank, arena))
                });
                for result in sums {
                    let (rank, arena) = result.unwrap();
                    assert_eq!(arena[1..], expected[1..], "{size} processes, {bytes} bytes");
                    assert_eq!(arena[0], rounded(rank)[0]);
                }
            }
        }
    }
}

#[test]
fn bytes_of_all_and_of_process_0() {
    for size in [1, 2, 3, 5, 8] {
        let results = run(size, |group| {
            let own = vec![group.rank() as u8; 10 * group.rank()];
            let first =
                group.broadcast(if group.is_first() { vec![7; 100_000] } else { Vec::new() })?;
            let none = group.broadcast(Vec::new())?;
            let all = group.gather(own.clone())?;
            let everywhere = group.exchange(own)?;
            group.finish(0)?;
            Ok((first, none, all, everywhere))
        });
        for (rank, result) in results.into_iter().enumerate() {
            let (first, none, all, everywhere) = result.unwrap();
            assert_eq!((first, none), (vec![7; 100_000], Vec::new()));
            let expected: Vec<_> = (0..size).map(|rank| vec![rank as u8; 10 * rank]).collect();
            assert_eq!(everywhere, expected);
            assert_eq!(all, if rank == 0 { expected } else { Vec::new() });
        }
    }
}

#[test]
fn a_process_that_ends_ends_the_others() {
    let results = run(3, |group| {
        if group.rank() == 1 {
            return Ok(0); // dropped, as after a panic
        }
        group.gather(vec![1])?;
        group.broadcast(Vec::new())?;
        Ok(1)
    });
    assert!(results[0].is_err(), "{results:?}");
    assert_eq!(results[1].as_ref().ok(), Some(&0));
}

#[test]
fn aborting_ends_the_others() {
    let results = run(2, |group| {
        if group.rank() == 1 {
            group.abort(3);
            return Ok(());
        }
        group.sum(vec![1.0], Wire::Fp32).wait()?;
        Ok(())
    });
    assert!(matches!(results[0], Err(CommError::Transport(_))), "{results:?}");
}

#[test]
fn a_process_that_says_nothing_is_named_after_the_timeout() {
    let timeout = Duration::from_millis(300);
    let over = Barrier::new(3);
    let results = run(3, move |group| {
        // All are there.
        group.exchange(Vec::new())?;
        if group.rank() == 2 {
            over.wait();
            return Ok(());
        }
        let group = group.with_timeout(timeout);
        let start = Instant::now();
        group.watch();
        let result = group.sum(vec![1.0; 9], Wire::Fp32).wait();
        let waited = start.elapsed();
        // And from now on everything fails.
        let fails = group.gather(Vec::new()).is_err();
        over.wait();
        let is_timeout = matches!(result, Err(CommError::Timeout { .. }));
        assert!(fails && (waited >= timeout || !is_timeout), "{waited:?}");
        result.map(drop)
    });
    // The first to give up ends the other.
    let errors = results[..2].iter().map(|result| result.as_ref().unwrap_err());
    let timeouts: Vec<_> = errors.filter(|e| matches!(e, CommError::Timeout { .. })).collect();
    assert!(!timeouts.is_empty(), "{results:?}");
    for error in timeouts {
        let CommError::Timeout { waiting_for, .. } = error else { unreachable!() };
        // Not the other one, which cannot send its sum either.
        assert_eq!(waiting_for, &[2], "{error}");
        assert!(error.to_string().contains("for 0.3 s (--comm-timeout)"), "{error}");
    }
}

#[test]
fn messages_of_another_length_are_an_error() {
    let mut members = in_process(2);
    let (mut one, mut zero) = (members.pop().unwrap(), members.pop().unwrap());
    zero.send(1, 5, &Arc::new(vec![0; 9]), 1..9).unwrap();
    one.receive(0, 5, vec![0; 9]).unwrap();
    let error = one.poll(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("sent 8 bytes where 9 were expected"), "{error}");
}

#[test]
fn a_transport_that_cannot_be_made_is_an_error() {
    let make = || Err::<InProcess, _>(CommError::Transport("no library".to_owned()));
    assert_eq!(Group::start(make).unwrap_err().to_string(), "no library");
}
