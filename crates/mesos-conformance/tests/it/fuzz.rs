//! What is in the corpus, and every crash ever found, is fed to its decoder again; and some new inputs.

use mesos_conformance::fuzz::{decoders, feed, fuzz, inputs};

#[test]
fn the_corpus_breaks_nothing() {
    for decoder in decoders() {
        let inputs = inputs(&decoder).unwrap();
        assert!(inputs.len() >= 4, "{} has {} inputs", decoder.name, inputs.len());
        let mut answers = std::collections::BTreeSet::new();
        for (name, input) in inputs {
            match feed(&decoder, &input) {
                Ok(answer) => drop(answers.insert(answer)),
                Err(crash) => panic!("{}/{name}: {}", decoder.name, crash.problem),
            }
        }
        assert!(answers.len() > 1, "{} takes all inputs for the same", decoder.name);
    }
}

/// A quarter of a CPU second each; the long runs are in `make soak SUITE=fuzz`.
#[test]
fn nor_do_some_new_inputs() {
    let states = tempfile::tempdir().unwrap();
    for decoder in decoders() {
        let result = fuzz(&decoder, 0.25, 7, states.path()).unwrap();
        assert_eq!(result["crashes"], 0, "{result}; see the corpus");
        assert!(result["inputs"].as_u64().unwrap() >= 64, "{result}");
        // With the time used up there is nothing left to do.
        assert_eq!(fuzz(&decoder, 0.25, 7, states.path()).unwrap()["inputs"], result["inputs"]);
    }
}
