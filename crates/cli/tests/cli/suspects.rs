//! `resnet data suspects`.

use std::fs;

use crate::common::{Sandbox, small, write_photos};

/// Two classes of 40 photos, of which four are in the folder of the other class.
fn train_with_wrong_labels(s: &Sandbox) -> Vec<String> {
    write_photos(s, &["cat", "dog"], 40);
    let mut wrong = Vec::new();
    for (from, to) in [("cat", "dog"), ("dog", "cat")] {
        for index in [7, 23] {
            let moved = format!("{to}/of, {from} {index}.ppm");
            let name = s.path("photos").join(from).join(format!("{index:02}.ppm"));
            fs::rename(name, s.path("photos").join(&moved)).unwrap();
            wrong.push(moved);
        }
    }
    // Muon learns the wrong labels, too, of so few photos.
    let usual = ["--arch", "resnet8", "--init", "none", "--optimizer", "sgd"];
    let usual = [&usual[..], &["--batch-size", "8", "--threads", "2"]].concat();
    let length = ["--epochs", "8", "--validation", "0.25", "--out", "run", "--quiet"];
    s.run(&[&["train", "photos"][..], &usual, &length].concat()).success();
    wrong
}

#[test]
fn photos_in_the_folder_of_another_class_come_first() {
    let s = Sandbox::new();
    let wrong = train_with_wrong_labels(&s);
    let found = s.json(&["data", "suspects", "run", "--json"]);
    let first: Vec<&str> =
        found.iter().take(wrong.len()).map(|r| r["path"].as_str().unwrap()).collect();
    for name in &wrong {
        assert!(first.iter().any(|path| path.ends_with(&format!("photos/{name}"))), "{found:#?}");
    }
    for record in &found {
        let [label, predicted] = ["label", "predicted"].map(|key| record[key].as_str().unwrap());
        assert!(label != predicted && record["path"].as_str().unwrap().contains(label));
        let [low, high] =
            ["label_probability", "predicted_probability"].map(|key| record[key].as_f64().unwrap());
        assert!(low < high && ["train", "validation"].contains(&record["part"].as_str().unwrap()));
    }
    assert!(found.is_sorted_by_key(|record| record["label_probability"].as_f64().unwrap()));

    let out = s.run(&["data", "suspects", "run"]).success();
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines[0], "path,label,predicted,label_probability,predicted_probability,part");
    assert_eq!(lines.len(), found.len() + 1);
    assert!(lines[1].starts_with('"') && lines[1].contains("of, "), "quoted: {}", lines[1]);
    for part in ["validation: ", "the network was not trained on them", "train: ", "fewer of them"]
    {
        assert!(out.stderr.contains(part), "{out:#?}");
    }
    let part = s.json(&["data", "suspects", "run", "--part", "validation", "--json"]);
    assert!(part.iter().all(|record| record["part"] == "validation"));
    let validated = found.iter().filter(|record| record["part"] == "validation");
    assert!(validated.eq(&part));
    s.run(&["data", "suspects", "run", "--part", "test"]).fails(2, &["run has no test images"]);
}

#[test]
fn images_of_a_named_data_set_have_numbers() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--validation", "56", "--out", "run", "-q"])).success();
    let out = s.run(&["data", "suspects", "run"]).success();
    for part in
        ["train: ", "of 200 labels", "validation: ", "of 56 labels", "test: ", "of 100 labels"]
    {
        assert!(out.stderr.contains(part), "{out:#?}");
    }
    for line in out.stdout.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (side, number) = fields[0].split_once('/').unwrap();
        assert_eq!(side, if fields[5] == "test" { "test" } else { "train" });
        assert!(number.parse::<usize>().unwrap() < 256, "{line}");
    }
    s.run(&["convert", "run", "alone.safetensors"]).success();
    s.run(&["data", "suspects", "alone.safetensors"]).fails(2, &["is not in a run folder"]);
}
