//! Tests the page as text. scripts/check-report tests it in a browser.

use serde_json::Value;

use super::{escape, *};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)> & \"'\u{2028}\u{202e}{{data}}]]>";

fn epoch(epoch: u64) -> Epoch {
    let x = epoch as f64;
    Epoch {
        epoch,
        train_loss: Some(2.0 / x),
        train_accuracy: Some(90.0 - 50.0 / x),
        test_loss: Some(2.5 / x),
        test_accuracy: Some(85.0 - 50.0 / x),
        validation_loss: None,
        validation_accuracy: None,
        evaluated_images: None,
        chosen_by: None,
        learning_rate: Some(0.1 / x),
        seconds: Some(61.5),
        images_per_second: Some(813.0),
    }
}

/// Three classes of four images; the last image of each is predicted as the next class.
fn evaluation() -> Evaluation {
    let example = |i: usize| Example {
        width: 4,
        height: 4,
        rgb: (0..48).map(|byte| (byte * 5 + i) as u8).collect(),
        predicted: "cat".into(),
        truth: if i % 4 == 3 { HOSTILE.into() } else { "cat".into() },
        correct: i % 4 != 3,
        confidence: 0.75,
        file: Some(format!("{HOSTILE}/{i}.jpg")),
    };
    Evaluation {
        checkpoint: "last.safetensors".into(),
        part: Part::Test,
        images: 12,
        accuracy: 75.0,
        top5_accuracy: 100.0,
        loss: 0.6125,
        calibration_error: 4.21,
        balanced_accuracy: 76.54,
        scores: [71.0, 72.0, 73.0]
            .map(|x| Scores { precision: x, recall: 75.0, f1: x + 0.5 })
            .into(),
        macro_average: Scores { precision: 61.0, recall: 62.0, f1: 63.0 },
        weighted_average: Scores { precision: 64.0, recall: 65.0, f1: 66.0 },
        reliability: vec![Bin { images: 12, accuracy: 75.0, confidence: 79.21 }],
        classes: vec!["cat".into(), HOSTILE.into(), "dog".into()],
        confusion: vec![vec![3, 1, 0], vec![0, 3, 1], vec![1, 0, 3]],
        first: (0..8).map(example).collect(),
        mistakes: vec![example(3)],
    }
}

fn run(name: &str, epochs: u64, lr: &str) -> Run {
    Run {
        name: name.into(),
        arch: "resnet8".into(),
        data: "synthetic".into(),
        train_images: 4000,
        parameters: 75_290,
        state: State::Finished,
        epochs,
        metrics: (1..=epochs).map(epoch).collect(),
        settings: vec![("batch_size".into(), "128".into()), ("lr".into(), lr.into())],
        config: "arch = \"resnet8\"\n".into(),
        command: format!("resnet train synthetic --arch resnet8 --lr {lr}"),
        machine: vec![("Instruction set".into(), "avx2".into())],
        ..Run::default()
    }
}

fn report(runs: Vec<Run>) -> Report {
    Report { title: None, written_by: "resnet".into(), runs }
}

fn evaluated(name: &str) -> Run {
    Run { evaluation: Some(evaluation()), ..run(name, 3, "0.2") }
}

/// The data for the page's script.
fn data(html: &str) -> Value {
    let start = html.find("id=\"data\">").expect("data") + "id=\"data\">".len();
    let end = start + html[start..].find("</script>").expect("its end");
    serde_json::from_str(&html[start..end]).expect("JSON")
}

#[test]
fn untrusted_text_is_escaped() {
    let mut hostile = evaluated(HOSTILE);
    for field in [&mut hostile.arch, &mut hostile.data, &mut hostile.config, &mut hostile.command] {
        *field = HOSTILE.into();
    }
    hostile.settings = vec![(HOSTILE.into(), HOSTILE.into())];
    hostile.machine = hostile.settings.clone();
    hostile.note = Some(HOSTILE.into());
    hostile.command_note = Some(HOSTILE.into());
    let second = Run { settings: Vec::new(), ..hostile.clone() };
    for runs in [vec![hostile.clone()], vec![hostile, second]] {
        let plain = html(&report(vec![evaluated("a"); runs.len()]));
        let page = html(&Report { title: Some(HOSTILE.into()), ..report(runs) });
        assert!(
            !page.contains("<img") && !page.contains("'\u{2028}"),
            "no text becomes an element"
        );
        // As many of these tags as in a harmless page.
        for tag in ["<script", "</script", "<style", "</style", "<!--"] {
            assert_eq!(page.matches(tag).count(), plain.matches(tag).count(), "{tag}");
        }
        assert_eq!(data(&page)["runs"][0]["name"], HOSTILE);
        assert!(
            page.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; &amp; &quot;&#39;")
        );
    }
}

#[test]
fn text_is_escaped_and_filled_in_once() {
    assert_eq!(escape::text("<a&b>\"'\u{0}\n"), "&lt;a&amp;b&gt;&quot;&#39;\u{fffd}\n");
    assert_eq!(escape::json(&"</\u{2028}&"), r#""\u003c/\u2028\u0026""#);
    let filled = escape::fill("{{a}}-{{b}}-{{a}}", &[("a", "{{b}}"), ("b", "x")]);
    assert_eq!(filled, "{{b}}-x-{{b}}");
}

#[test]
fn a_report_round_trips_through_json() {
    let report = report(vec![evaluated("a"), run(HOSTILE, 0, "0.1")]);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_line_of_metrics_parses_as_an_epoch() {
    let line = r#"{"epoch":3,"step":9,"train_loss":1.5,"train_accuracy":40.0,"test_loss":null,
        "test_accuracy":50.0,"learning_rate":0.1,"seconds":2.0,"images_per_second":10.0}"#;
    let epoch: Epoch = serde_json::from_str(line).unwrap();
    assert_eq!((epoch.epoch, epoch.train_loss, epoch.test_loss), (3, Some(1.5), None));
}

#[test]
fn the_page_has_every_metric() {
    let page = html(&report(vec![evaluated("first run")]));
    let expected = [
        "resnet8 on synthetic",
        "75.3 k",
        "68.33%", // final and best accuracy
        "0.8333", // test loss
        "3 min 05 s",
        "813",
        "resnet train synthetic --arch resnet8 --lr 0.2",
        "Confusion matrix",
        "Most confident mistakes",
        "4.21%", // calibration
        "76.54%",
        "<td>72.0%<td>72.5%", // precision and F1 of a class
        "Macro average<td class=\"bar\"><td>62.0%<td>61.0%<td>63.0%",
        "Weighted average<td class=\"bar\"><td>65.0%<td>64.0%<td>66.0%",
        "avx2",
        "9 images correct",
    ];
    for text in expected {
        assert!(page.contains(text), "{text}");
    }
    let run = &data(&page)["runs"][0];
    assert_eq!(run["epoch"], serde_json::json!([1, 2, 3]));
    assert_eq!(run["test_loss"], serde_json::json!([2.5, 1.25, 0.8333333]));
    assert_eq!(run["validation_loss"], serde_json::json!([null, null, null]));
}

#[test]
fn the_best_epoch_is_the_one_that_the_run_chose() {
    let mut chosen = run("a", 3, "0.2");
    for (epoch, value) in chosen.metrics.iter_mut().zip([40.0, 60.0, 50.0]) {
        epoch.chosen_by = Some(ChosenBy { metric: "f1".into(), value });
    }
    assert_eq!(chosen.best().map(|epoch| epoch.epoch), Some(2));
    let page = html(&report(vec![chosen]));
    assert!(page.contains("<dd>60.00%<small>epoch 2 of 3, by F1 60.00%</small>"), "{page}");
    // Not on the test set, where there is a validation set.
    let mut validated = run("a", 3, "0.2");
    for (epoch, [validation, test]) in
        validated.metrics.iter_mut().zip([[60.0, 70.0], [75.0, 71.0], [71.0, 78.0]])
    {
        (epoch.validation_accuracy, epoch.test_accuracy) = (Some(validation), Some(test));
    }
    // Where photos went missing or came back, of those since.
    for (images, best) in [
        ([Some(8), Some(6), Some(8)], 3),
        ([Some(8), Some(6), Some(6)], 2),
        ([Some(8), None, Some(8)], 2),
    ] {
        let mut missing = validated.clone();
        let epochs = missing.metrics.iter_mut().zip(images);
        epochs.for_each(|(epoch, images)| epoch.evaluated_images = images);
        assert_eq!(missing.best().map(|epoch| epoch.epoch), Some(best));
    }
    let page = html(&report(vec![validated]));
    let card = "<dd>71.00%<small>epoch 2 of 3, by validation accuracy 75.00%</small>";
    assert!(page.contains(card), "{page}");
    let line = r#"{"epoch":3,"chosen_by":{"metric":"balanced","value":81.5}}"#;
    let epoch: Epoch = serde_json::from_str(line).unwrap();
    assert_eq!(epoch.chosen_by.unwrap().name(), "balanced accuracy");
}

#[test]
fn the_page_is_self_contained() {
    let page = html(&report(vec![evaluated("a")]));
    assert!(page.contains("content=\"default-src 'none'; script-src 'sha256-"));
    // The only URLs are the SVG namespace, inline images and anchors.
    for (i, _) in page.match_indices("http") {
        let text = &page[i..page.len().min(i + 30)];
        assert!(
            text.starts_with("http://www.w3.org/2000/svg") || text.starts_with("http-equiv"),
            "{text}"
        );
    }
    for attribute in ["src=\"", "href=\""] {
        for (i, _) in page.match_indices(attribute) {
            let target = &page[i + attribute.len()..];
            assert!(target.starts_with("data:") || target.starts_with('#'), "{}", &target[..20]);
        }
    }
    assert!(!page.contains("@import") && !page.contains("url("));
}

#[test]
fn runs_are_compared() {
    let slow = Run { state: State::Stopped, epochs: 9, ..run("slow", 2, "0.01") };
    let page = html(&report(vec![run("fast", 3, "0.2"), slow]));
    assert!(page.contains("2 runs of resnet8 on synthetic"));
    assert!(page.contains(
        "<b><bdi>fast</bdi></b> reaches the highest test accuracy in its best epoch: <b>68.33%</b>"
    ));
    assert!(page.contains("8.33 points above <bdi>slow</bdi>"));
    assert!(page.contains("Stopped: 2 of 9 epochs done"));
    // The rate differs, the batch size does not.
    assert!(page.contains("<tr><th scope=\"row\">lr<td>0.2<td>0.01"));
    assert!(!page.contains("<tr><th scope=\"row\">batch_size"));
    // One run has the best two accuracies and the best loss; the throughputs are equal.
    let rows: Vec<&str> = page.split("<tr><th scope=\"row\"><span class=\"swatch\"").collect();
    assert_eq!(rows[1..3].iter().map(|r| r.matches("★").count()).collect::<Vec<_>>(), [3, 1]);
    assert!(rows[2].contains("★ marks the best"), "only the legend");
}

#[test]
fn runs_without_test_images_are_judged_by_validation() {
    let validated = |name: &str, epochs: u64, lr: &str| {
        let mut run = run(name, epochs, lr);
        for epoch in &mut run.metrics {
            epoch.validation_loss = epoch.test_loss.take();
            epoch.validation_accuracy = epoch.test_accuracy.take();
        }
        run
    };
    let evaluation = Some(Evaluation { part: Part::Validation, ..evaluation() });
    let page = html(&report(vec![Run { evaluation, ..validated("a", 3, "0.1") }]));
    for text in [
        "Validation accuracy: <b>68.33%</b>",
        "<dt>Best validation accuracy</dt><dd>68.33%",
        "<dt>Validation loss</dt><dd>0.8333",
        "last.safetensors on 12 validation images.",
        "6 of the first 8 validation images are correct.",
        "<th scope=\"col\">Validation loss<th scope=\"col\">Validation accuracy",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("Test accuracy") && !page.contains("test image"));
    let page = html(&report(vec![validated("a", 3, "0.1"), validated("b", 2, "0.1")]));
    assert!(
        page.contains("reaches the highest validation accuracy in its best epoch: <b>68.33%</b>")
    );
    assert!(page.contains("Final validation accuracy"));
    let page = html(&report(vec![validated("a", 3, "0.1"), run("b", 2, "0.1")]));
    assert!(page.contains("reaches the highest accuracy in its best epoch: <b>68.33%</b>"));
}

#[test]
fn missing_parts_are_noted() {
    let empty =
        Run { note: Some("No checkpoint yet.".into()), state: State::Training, ..run("a", 0, "1") };
    let page = html(&report(vec![Run { epochs: 5, ..empty }]));
    assert!(page.contains("No checkpoint yet.") && page.contains("No epoch is finished yet"));
    assert!(page.contains("Training: 0 of 5 epochs done") && !page.contains("Confusion"));
    html(&report(Vec::new()));
}

#[test]
fn one_image_is_singular() {
    let mut one = evaluation();
    (one.images, one.accuracy) = (1, 100.0);
    one.first.truncate(1);
    one.first[0].correct = true;
    let page = html(&report(vec![Run { evaluation: Some(one), ..run("a", 3, "1") }]));
    for text in ["on 1 test image.", "1 image correct", "1 of 1 test image is correct."] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_run_that_diverged_is_not_called_stopped() {
    let diverged = Run { state: State::Diverged, epochs: 5, ..run("a", 2, "1") };
    assert!(html(&report(vec![diverged])).contains("Diverged: 2 of 5 epochs done"));
    let only = Run { state: State::Stopped, epochs: 1, ..run("a", 0, "1") };
    assert!(html(&report(vec![only])).contains("Stopped: 0 of 1 epoch done"));
}

#[test]
fn the_page_is_deterministic() {
    let report = report(vec![evaluated("a"), evaluated("b")]);
    assert_eq!(html(&report), html(&report));
}

#[test]
fn the_page_stays_below_its_maximum_size() {
    // Pixels that do not compress, in many pictures of many runs.
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let picture = Example {
        width: 100,
        height: 100,
        rgb: (0..30_000).map(|_| noise()).collect(),
        ..Example::default()
    };
    let mut big = run("big", 1500, "0.1");
    big.evaluation =
        Some(Evaluation { first: vec![picture; 32], mistakes: Vec::new(), ..evaluation() });
    let runs: Vec<Run> = (0..4).map(|i| Run { name: format!("run {i}"), ..big.clone() }).collect();
    let page = html(&report(runs));
    assert!(page.len() <= MAX_BYTES, "{}", page.len());
    assert_eq!(page.matches("<h3>Predictions").count(), 1);
    assert_eq!(page.matches("Left out to keep this page small: predictions").count(), 3);
    assert_eq!(page.matches("<h3>Confusion matrix").count(), 4);
    assert!(page.contains("one epoch in 2"));
    let epochs = data(&page)["runs"][3]["epoch"].as_array().unwrap().clone();
    assert_eq!((epochs[1].as_u64(), epochs.last().unwrap().as_u64()), (Some(3), Some(1500)));
}
