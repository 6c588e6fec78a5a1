//! Screens of a synthetic run.

use std::time::{Duration, Instant};

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};
use resnet::{
    Dtype,
    train::{BatchEvent, EpochMetrics, Event, Machine, Started},
};

use super::*;

const COLOURED: Palette = Palette { coloured: true };
const PLAIN: Palette = Palette { coloured: false };

fn started(history: Vec<EpochMetrics>) -> Event {
    Event::Started(Started {
        folder: "runs/resnet20-cifar10-20261231-235959".into(),
        arch: "resnet20".into(),
        data: "cifar10".into(),
        recipe: "walkthrough".into(),
        parameters: 272_474,
        train_images: 45_000,
        test_images: 10_000,
        validation_images: 5000,
        batch_size: 100,
        steps_per_epoch: 450,
        total_steps: 9000,
        epochs: 20,
        step: 450 * history.len() as u64,
        history,
        machine: Machine {
            cpu: None,
            gpu: None,
            isa: "avx512-bf16".into(),
            threads: 16,
            processes: 1,
            machines: 1,
            dtype: Dtype::Bf16,
            dtype_reason: "avx512-bf16 has native bfloat16 dot products".into(),
        },
    })
}

fn epoch(epoch: u64) -> EpochMetrics {
    let x = epoch as f64;
    EpochMetrics {
        epoch,
        step: 450 * epoch,
        train_loss: 2.0 / x,
        train_accuracy: 100.0 - 50.0 / x,
        test_loss: Some(1.9 / x),
        test_accuracy: Some(85.0 - 50.0 / x),
        validation_loss: Some(1.4 / x),
        validation_accuracy: Some(96.0 - 50.0 / x),
        evaluated_images: None,
        chosen_by: None,
        learning_rate: 0.1,
        seconds: 18.0,
        images_per_second: 2500.0,
        communication_seconds: None,
    }
}

fn batch(epoch: u64, batch: u64) -> Event {
    let step = 450 * (epoch - 1) + batch;
    let x = 1.0 + step as f64 / 450.0;
    Event::Batch(BatchEvent {
        epoch,
        epochs: 20,
        batch,
        batches: 450,
        step,
        total_steps: 9000,
        loss: 2.0 / x,
        accuracy: 100.0 - 50.0 / x,
        batch_loss: 2.0 / x + 0.1 * f64::from(step as u32 % 2),
        batch_accuracy: 100.0 - 50.0 / x,
        learning_rate: 0.1,
        images_per_second: 2500.0,
        waiting: None,
    })
}

/// In the middle of its third epoch.
fn state(now: Instant) -> State {
    let mut state = State::default();
    state.update(&started(Vec::new()), now);
    state.update(&Event::Note("the weights are random".into()), now);
    for done in 1..=3 {
        (1..=450)
            .filter(|b| done < 3 || *b <= 225)
            .for_each(|b| state.update(&batch(done, b), now));
        if done < 3 {
            state.update(&Event::Evaluating { done: 100, images: 10_000 }, now);
            state.update(&Event::EpochEnd { metrics: epoch(done), best: true }, now);
            state.update(&Event::Saved { path: "runs/x/last.safetensors".into() }, now);
        }
    }
    state
}

fn buffer(state: &State, palette: Palette, [columns, rows]: [u16; 2], now: Instant) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, state, palette, now)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let rows: Vec<_> = (0..buffer.area.height).map(|y| row(y).trim_end().to_owned()).collect();
    rows.join("\n")
}

fn screen(size: [u16; 2]) -> String {
    let began = Instant::now();
    text(&buffer(&state(began), COLOURED, size, began + Duration::from_secs(65)))
}

fn assert_has(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "'{part}' is not in\n{screen}");
    }
}

#[test]
fn a_run_among_others_shows_the_time_left_of_all() {
    let now = Instant::now();
    let mut among = state(now);
    let position = Some(Position { run: 2, runs: 4, later: 2.0 });
    among.estimate = among.estimate.clone().at(position);
    let screen = text(&buffer(&among, PLAIN, [100, 30], now));
    assert_has(&screen, &["run 2 of 4", "step 1,125 of 9,000"]);
    // A quarter and an eighth of the next.
    assert!(screen.lines().any(|l| l.starts_with("all ") && l.contains(" 28%")), "{screen}");
}

#[test]
fn everything_is_shown_from_80x24_on() {
    for size in [[80, 24], [100, 30], [200, 50]] {
        assert_has(
            &screen(size),
            &[
                "resnet20 on cifar10, recipe walkthrough, 20 epochs, batches of 100",
                "bf16 on avx512-bf16, 16 threads, in runs/resnet20-cifar10-20261231-235959",
                "Learning rate  0.100 ",
                "Images/s  now 2,500  mean 2,500",
                "epoch 3/20",
                "run         ━━━",
                "  50%",
                "  12%",
                "batch 225 of 450",
                "step 1,125 of 9,000",
                "0:09 left",
                "5:15 left",
                "best   epoch 2: accuracy  x validation 71.00%  • test 60.00%",
                "saved  last.safetensors in epoch 2, 1:05 ago",
                "note: the weights are random",
                "q, Esc: plain bar (training continues)",
            ],
        );
    }
}

#[test]
fn several_processes_show_how_long_they_wait() {
    let now = Instant::now();
    let mut state = state(now);
    let screen = |state: &State, size| text(&buffer(state, PLAIN, size, now));
    assert!(!screen(&state, [130, 30]).contains("waiting"));
    let Event::Batch(alone) = batch(3, 226) else { panic!("it is a batch") };
    state.update(&Event::Batch(BatchEvent { waiting: Some(12.4), ..alone }), now);
    assert_has(&screen(&state, [80, 24]), &["Images/s  now 2,500  12% waiting"]);
    assert_has(&screen(&state, [130, 30]), &["Images/s  now 2,500  mean 2,500  12% waiting"]);
}

#[test]
fn a_small_rate_is_not_0() {
    let (mut state, now) = (State::default(), Instant::now());
    state.update(&started(vec![EpochMetrics { learning_rate: 2e-6, ..epoch(1) }]), now);
    assert_has(&text(&buffer(&state, PLAIN, [80, 24], now)), &["Learning rate  2.00e-6 "]);
}

#[test]
fn one_epoch_on_one_thread_is_singular() {
    let Event::Started(mut run) = started(Vec::new()) else { panic!("it starts") };
    run.epochs = 1;
    run.machine.threads = 1;
    let (mut state, now) = (State::default(), Instant::now());
    state.update(&Event::Started(run), now);
    let parts = ["walkthrough, 1 epoch, batches of 100", "avx512-bf16, 1 thread, in runs/"];
    assert_has(&text(&buffer(&state, PLAIN, [80, 24], now)), &parts);
}

#[test]
fn legends_name_curves_if_there_is_room() {
    let wide = screen([130, 30]);
    assert_has(&wide, &["Loss  ⠒ train ", "  x validation 0.7000  • test 0.9500 ─"]);
    assert_has(&wide, &["Accuracy  ⠒ train ", "  x validation 71.00%  • test 60.00%"]);
    assert_has(
        &screen([80, 24]),
        &["Loss  ⠒ 0.", "  x 0.7000  • 0.9500 ─", "  x 71.00%  • 60.00%"],
    );
}

#[test]
fn curves_differ_by_their_marks() {
    let now = Instant::now();
    let screen = text(&buffer(&state(now), PLAIN, [200, 50], now));
    // Two epochs in each of two charts.
    for mark in ["•", "x"] {
        let charts = screen.lines().filter(|line| line.contains('│'));
        let drawn: usize = charts.map(|line| line.matches(mark).count()).sum();
        assert_eq!(drawn, 4, "{mark} in\n{screen}");
    }
    let braille = screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
    assert!(braille > 100, "{braille} in\n{screen}");
}

#[test]
fn only_palette_colours_are_used() {
    let now = Instant::now();
    let colours = |palette| {
        let buffer = buffer(&state(now), palette, [80, 24], now);
        let colours = buffer.content.iter().flat_map(|cell| [cell.fg, cell.bg]);
        let mut colours: Vec<_> = colours.filter(|&c| c != Color::Reset).collect();
        colours.sort_by_key(|colour| colour.to_string());
        colours.dedup();
        colours
    };
    assert_eq!(colours(PLAIN), []);
    assert_eq!(colours(COLOURED), [Color::Green, Color::Magenta, Color::Red]);
}

#[test]
fn small_terminals_show_less() {
    let narrow = screen([60, 40]);
    assert_has(&narrow, &["Loss", "Accuracy", "Learning rate", "epoch 3/20", "q plain bar"]);
    let small = screen([40, 10]);
    assert_has(&small, &["resnet20 on cifar10", "Accuracy", "epoch 3/20", "0:09 left", "^C"]);
    assert!(!small.contains("Loss") && !small.contains("saved"), "{small}");
    for size in [[30, 8], [39, 30], [90, 9]] {
        let screen = screen(size);
        assert_has(&screen, &["too small", "40x10"]);
        assert!(!screen.contains("Accuracy"), "{screen}");
    }
}

#[test]
fn any_size_and_any_state_can_be_drawn() {
    let now = Instant::now();
    let mut begun = State::default();
    begun.update(&started(Vec::new()), now);
    for state in [State::default(), begun, state(now)] {
        for columns in (1..140).step_by(7) {
            for rows in 1..45 {
                buffer(&state, COLOURED, [columns, rows], now);
            }
        }
    }
}

#[test]
fn a_resumed_run_shows_its_history() {
    let now = Instant::now();
    let mut state = State::default();
    state.update(&started(vec![epoch(1), epoch(3), epoch(2)]), now);
    let screen = text(&buffer(&state, PLAIN, [80, 24], now));
    assert_has(&screen, &["  • 0.9500", "epoch 3", "best   epoch 3", "saved  no checkpoint yet"]);
    state.update(&batch(4, 10), now);
    assert!(state.throughput.now.is_none(), "earlier batches ran in another process");
    state.update(&batch(4, 11), now);
    assert!((state.throughput.now.unwrap() - 2500.0).abs() < 1e-6);
}

#[test]
fn evaluation_progress_is_shown() {
    let now = Instant::now();
    let mut state = state(now);
    state.update(&Event::Evaluating { done: 3000, images: 15_000 }, now);
    let screen = text(&buffer(&state, PLAIN, [80, 24], now));
    assert_has(&screen, &["evaluating: 3,000 of 15,000"]);
}
