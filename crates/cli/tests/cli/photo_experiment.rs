//! An experiment on photos.

use std::fs;

use crate::common::{
    Sandbox,
    photo_runs::{make_photos, names},
    tensors,
};

#[test]
fn an_experiment_on_photos_is_continued() {
    let s = Sandbox::new();
    make_photos(&s);
    let usual = ["experiment", "degradation", "photos", "--nets", "plain8,resnet8"];
    let length = ["--epochs", "1", "--batch-size", "8", "--threads", "2", "--out", "out"];
    let args = [&usual[..], &length].concat();
    let out = s.run(&args).success();
    let table: Vec<&str> = out.stdout.lines().filter(|line| line.contains("lain8 ")).collect();
    assert!(!table.is_empty(), "{out:#?}");
    assert!(out.stdout.contains("validation error %"), "{out:#?}");
    assert!(!out.stdout.contains("of the best epoch"), "{out:#?}");
    let [plain, residual] =
        ["plain8", "resnet8"].map(|net| s.path("out").join(format!("{net}-seed0")));
    // The same photos are held out.
    assert_eq!(names(&plain, "validation"), names(&residual, "validation"));
    // As if it were killed before the photos of the second run were noted.
    let before = tensors(&residual);
    for name in [
        "photos.tsv",
        "last.safetensors",
        "best.safetensors",
        "metrics.jsonl",
        "run.json",
        "log.txt",
    ] {
        fs::remove_file(residual.join(name)).unwrap();
    }
    let again = s.run(&args).success();
    assert_eq!(again.stdout, out.stdout);
    assert!(tensors(&residual) == before, "bit-identical");
    // Responses are measured on the photos that were held out.
    let model = ["experiment", "responses", "--model", "out/resnet8-seed0", "--json"];
    let measured = &s.json(&model)[0]["responses"][0]["images"];
    assert_eq!(*measured, names(&residual, "validation").len());
    // More seeds, but not with other photos.
    let more = [&args[..], &["--seeds", "2"]].concat();
    let photo = s.path("photos/circle/0.ppm");
    let added = s.path("photos/circle/added.ppm");
    fs::copy(photo, &added).unwrap();
    let out = s.run(&more);
    out.fails_behind_notes(1, &["other photos than when the experiment began (", "--out"]);
    assert!(!s.path("out/plain8-seed1").exists());
    fs::remove_file(added).unwrap();
    s.run(&more).success();
    assert!(tensors(&residual) == before);
    // A net of the other family takes larger images, unless --image-size is given.
    s.run(&["experiment", "degradation", "photos", "--nets", "resnet8,resnet18"])
        .fails(2, &["different sizes", "--image-size"]);
}
