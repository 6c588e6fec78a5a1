//! Processes that train on photos, each with files of its own.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use resnet::{
    data::transform::Transform,
    recipe::Length,
    run::{RunFolder, photo_names},
    train::{Event, Outcome},
};

use crate::common::{
    processes::run_with,
    processes_on_photos::{of_photos, photos_of},
};

#[test]
fn features_are_kept_if_all_processes_can_use_the_same_photos() {
    for damaged in [0, 1] {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("run");
        drop(RunFolder::create(&folder, &of_photos()).unwrap());
        let root: PathBuf = runs.path().to_owned();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&notes);
        let damage = root.join("1/test/0.ppm");
        let data = move |rank: usize| photos_of(&root.join(rank.to_string()));
        let ends = run_with(&folder, 2, 1, data, move |rank, event| {
            // A photo to test on is damaged where process 1 runs, after data were compared.
            if damaged > 0 && matches!(event, Event::Started(_)) {
                fs::write(&damage, "no photo").unwrap();
            }
            if let Event::Note(note) = event {
                said.lock().unwrap().push((rank, note.clone()));
            }
            false
        });
        assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Finished(_)))), "{ends:?}");
        let notes = notes.lock().unwrap();
        let by = |text: &str| -> Vec<usize> {
            notes.iter().filter(|(_, note)| note.contains(text)).map(|&(rank, _)| rank).collect()
        };
        // Process 0 speaks for all.
        assert_eq!(by("is computed once"), [0], "{notes:?}");
        assert_eq!(by("process 1 cannot use the same photos").len(), damaged, "{notes:?}");
        assert!(!by("classifier").contains(&1), "{notes:?}");
    }
}

#[test]
fn photos_that_differ_are_refused() {
    let runs = tempfile::tempdir().unwrap();
    let (folder, root) = (runs.path().join("run"), runs.path().to_owned());
    drop(RunFolder::create(&folder, &of_photos()).unwrap());
    let data = move |rank: usize| {
        let data = photos_of(&root.join(rank.to_string()));
        if rank == 1 {
            fs::write(root.join("1/train/7.ppm"), "a photo that was not copied whole").unwrap();
        }
        data
    };
    for end in run_with(&folder, 2, 1, data, |_, _| false) {
        let message = end.unwrap_err().to_string();
        assert!(message.contains("process 1 on ") && message.contains("other images"), "{message}");
    }
}

#[test]
fn process_0_knows_the_photos_that_others_read() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut config = of_photos();
    // Features of all images would be computed for unchanged ones.
    config.recipe.transform = Some(Transform::default());
    (config.recipe.length, config.total_steps) = (Length::Epochs(1), 2);
    drop(RunFolder::create(&folder, &config).unwrap());
    let root = runs.path().to_owned();
    let data = move |rank: usize| photos_of(&root.join(rank.to_string()));
    let ends = run_with(&folder, 2, 1, data, |_, _| false);
    assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Finished(_)))), "{ends:?}");
    let [train, _, test] = photo_names(&folder, runs.path()).unwrap();
    for (part, len) in [(train, 8), (test, 4)] {
        let (list, identities) = part.unwrap();
        assert_eq!(list.len(), len);
        assert!(!identities.contains(&0), "{identities:?}");
    }
}
