//! What a training run looks like: a bar an epoch at a terminal, lines of text elsewhere.

use std::time::Instant;

use anstyle::Style;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use resnet::train::{BatchEvent, EpochMetrics, Event, Started};

use crate::{args::Ui, print};

/// A listener to a run.
pub(crate) enum Progress {
    Silent,
    Log,
    Bar(Box<EpochBar>),
}

impl Progress {
    pub(crate) fn new(ui: Ui) -> Self {
        match ui {
            Ui::Log => Progress::Log,
            Ui::Bar => Progress::Bar(Box::default()),
        }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match self {
            Progress::Silent => {}
            Progress::Log => match event {
                Event::Started(run) => print::talk(header(run)),
                // The verb itself says how it ended, and in which folder everything is.
                Event::Saved { .. } | Event::Stopped { .. } | Event::Finished { .. } => {}
                _ => event.log_line().iter().for_each(print::talk),
            },
            Progress::Bar(bar) => bar.show(event),
        }
    }
}

/// What is about to be trained, line by line.
fn header(run: &Started) -> String {
    let n = print::grouped;
    let held_out = match run.held_out_images {
        0 => String::new(),
        images => format!("{} held-out, ", n(images)),
    };
    let resumed = match run.step {
        0 => String::new(),
        step => format!("; {step} steps are done"),
    };
    [
        ("arch", format!("{}, {} parameters", run.arch, n(run.parameters))),
        (
            "data",
            format!(
                "{}, {} training, {held_out}{} test images",
                run.data,
                n(run.train_images),
                n(run.test_images)
            ),
        ),
        (
            "recipe",
            format!(
                "{}, batch {}, {} epochs, {} steps{resumed}",
                run.recipe,
                run.batch_size,
                run.epochs,
                n(run.total_steps as usize)
            ),
        ),
        ("device", format!("{}, {} threads", run.isa, run.threads)),
        ("dtype", run.dtype.clone()),
        ("folder", run.folder.display().to_string()),
    ]
    .map(|(label, value)| format!("{label:<8}{value}"))
    .join("\n")
}

/// A bar for the epoch under way, and a row of a table for each that has ended.
#[derive(Default)]
pub(crate) struct EpochBar {
    /// Clears itself when dropped, so that a run that fails leaves no bar behind.
    bar: Option<ProgressBar>,
    run: Option<Started>,
    /// When the last batch of the epoch was done.
    last_batch: Option<Instant>,
    /// Seconds that evaluation took after the last epoch.
    evaluation: f64,
}

impl EpochBar {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Started(run) => {
                let bold = Style::new().bold();
                let columns = columns(run.held_out_images > 0);
                print::talk(format!("{}\n\n{bold}{columns}{bold:#}", header(run)));
                self.run = Some(run.clone());
            }
            Event::Batch(batch) => {
                self.last_batch = Some(Instant::now());
                let message = self.message(batch);
                let bar = self.bar.get_or_insert_with(|| epoch_bar(batch));
                bar.set_position(batch.batch);
                bar.set_message(message);
            }
            Event::Evaluating { done, images } => {
                if let Some(bar) = &self.bar {
                    let (done, images) = (print::grouped(*done), print::grouped(*images));
                    bar.set_message(format!("testing: {done} of {images} images"));
                }
            }
            Event::Note(_) | Event::OtherIsa { .. } => {
                event.log_line().iter().for_each(print::talk)
            }
            Event::EpochEnd { metrics, best } => {
                self.evaluation = self.last_batch.map_or(0.0, |t| t.elapsed().as_secs_f64());
                self.bar = None;
                print::talk(self.row(metrics, *best));
            }
            Event::Stopped { .. } | Event::Finished { .. } => self.bar = None,
            Event::Saved { .. } => {}
        }
    }

    /// The figures beside the bar.
    fn message(&self, b: &BatchEvent) -> String {
        let batch_size = self.run.as_ref().map_or(1, |run| run.batch_size) as f64;
        let seconds = |steps: u64| steps as f64 * batch_size / b.images_per_second.max(1e-9);
        let epoch = seconds(b.batches.saturating_sub(b.batch));
        let evaluations = b.epochs.saturating_sub(b.epoch) + 1;
        let run =
            seconds(b.total_steps.saturating_sub(b.step)) + evaluations as f64 * self.evaluation;
        format!(
            "loss {:.3} acc {:.1}% lr {:.3} {:.0}/s {} left, run {}",
            b.loss,
            b.accuracy,
            b.learning_rate,
            b.images_per_second,
            print::clock(epoch),
            print::clock(run)
        )
    }

    /// A finished epoch's row; a star marks the best so far on held-out images.
    fn row(&self, m: &EpochMetrics, best: bool) -> String {
        let epochs = self.run.as_ref().map_or(m.epoch, |run| run.epochs);
        let mut row = format!(
            "{:>7}  {:>6}  {:>6.2}%",
            format!("{}/{epochs}", m.epoch),
            loss(m.train_loss),
            m.train_accuracy
        );
        if let Some(accuracy) = m.held_out_accuracy {
            let star = if best { '*' } else { ' ' };
            row += &format!("  {accuracy:>6.2}%{star}");
        }
        row += &format!(
            "  {:>6}  {:>6.2}%  {:>7.5}  {:>8}  {:>8.1}",
            loss(m.test_loss),
            m.test_accuracy,
            m.learning_rate,
            print::clock(m.seconds),
            m.images_per_second
        );
        row
    }
}

/// A loss in six characters: that of the first epochs can be huge.
fn loss(x: f64) -> String {
    match x {
        ..10.0 => format!("{x:.4}"),
        ..1000.0 => format!("{x:.2}"),
        ..1e6 => format!("{x:.0}"),
        _ => format!("{x:.0e}"),
    }
}

fn columns(held_out: bool) -> String {
    let held_out = if held_out { "  held-out" } else { "" };
    format!("  epoch   train      acc{held_out}    test      acc       lr      time  images/s")
}

fn epoch_bar(batch: &BatchEvent) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:10} {msg}")
        .expect("a constant template")
        .progress_chars("━╸─");
    ProgressBar::new(batch.batches)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear)
        .with_prefix(format!("epoch {}/{}", batch.epoch, batch.epochs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(held_out_images: usize) -> EpochBar {
        let run = Started {
            folder: "runs/resnet110-cifar10-20261231-235959".into(),
            arch: "resnet110".into(),
            data: "cifar10".into(),
            recipe: "walkthrough".into(),
            parameters: 1_727_962,
            train_images: 45_000,
            test_images: 10_000,
            held_out_images,
            batch_size: 100,
            steps_per_epoch: 450,
            total_steps: 45_000,
            epochs: 100,
            step: 12_345,
            dtype: "fp32: avx512-bf16 has products of bfloat16, bf16 would be faster".into(),
            isa: "portable".into(),
            threads: 16,
        };
        EpochBar { run: Some(run), ..EpochBar::default() }
    }

    fn metrics(held_out_accuracy: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch: 100,
            step: 45_000,
            train_loss: 0.0123,
            train_accuracy: 100.0,
            test_loss: 1.5,
            test_accuracy: 93.25,
            held_out_loss: held_out_accuracy.map(|_| 0.5),
            held_out_accuracy,
            learning_rate: 0.001,
            seconds: 4000.0,
            images_per_second: 11.25,
        }
    }

    #[test]
    fn rows_line_up_and_fit_80_columns() {
        for (images, accuracy) in [(0, None), (5000, Some(92.5))] {
            let bar = bar(images);
            let row = bar.row(&metrics(accuracy), true);
            let columns = columns(images > 0);
            assert_eq!(row.chars().count(), columns.chars().count(), "\n{columns}\n{row}");
            assert!(columns.len() <= 80, "{}", columns.len());
            let header = header(bar.run.as_ref().unwrap());
            assert!(header.lines().all(|line| line.len() <= 80), "{header}");
        }
    }

    #[test]
    fn any_loss_fits() {
        for (x, text) in [(0.12345, "0.1235"), (34.5, "34.50"), (34816.6, "34817"), (2e30, "2e30")]
        {
            assert_eq!(loss(x), text);
        }
    }

    #[test]
    fn a_star_marks_the_best() {
        let stars = |held_out, best| bar(5000).row(&metrics(held_out), best).contains('*');
        assert!(stars(Some(90.0), true) && !stars(Some(90.0), false));
        assert!(!stars(None, true), "there is nothing to choose by");
    }

    #[test]
    fn time_left_counts_evaluations() {
        let mut bar = bar(0);
        bar.evaluation = 10.0;
        let message = bar.message(&BatchEvent {
            epoch: 99,
            epochs: 100,
            batch: 420,
            batches: 450,
            step: 44_520,
            total_steps: 45_000,
            loss: 1.25,
            accuracy: 56.78,
            batch_loss: 1.5,
            batch_accuracy: 50.0,
            learning_rate: 0.1,
            images_per_second: 100.0,
        });
        // 30 and 480 steps of 100 images at 100 images/s, and two evaluations
        assert_eq!(message, "loss 1.250 acc 56.8% lr 0.100 100/s 0:30 left, run 8:20");
    }
}
