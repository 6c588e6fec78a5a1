//! A progress bar for the current epoch, and a table row for each finished one.

use anstyle::Style;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use resnet::train::{BatchEvent, EpochMetrics, Event, Started};

use super::{
    estimate::{Estimate, Remaining},
    header::header,
    position::Position,
};
use crate::{device::why_cpu, print};

/// The bar and the table.
#[derive(Default)]
pub(crate) struct EpochBar {
    /// Clears itself when dropped, also if the run fails.
    bar: Option<ProgressBar>,
    run: Option<Started>,
    estimate: Estimate,
}

impl EpochBar {
    /// A bar for a run that may have a position among others.
    pub(super) fn new(position: Option<Position>) -> Self {
        EpochBar { estimate: Estimate::new(position), ..EpochBar::default() }
    }

    /// Prints past events, and continues with their time estimate.
    pub(super) fn replay(events: &[Event], estimate: Estimate) -> Self {
        let mut bar = EpochBar::default();
        events.iter().for_each(|event| bar.show(event));
        bar.estimate = estimate;
        bar
    }

    pub(super) fn show(&mut self, event: &Event) {
        self.estimate.update(event);
        match event {
            Event::Started(run) => {
                let bold = Style::new().bold();
                let columns = columns(run.validation_images > 0, run.test_images > 0);
                print::status(format!("{}\n\n{bold}{columns}{bold:#}", header(run, why_cpu())));
                self.run = Some(run.clone());
            }
            Event::Batch(batch) => {
                let message = self.message(batch);
                let position = self.estimate.position();
                let bar = self.bar.get_or_insert_with(|| epoch_bar(batch, position));
                bar.set_position(batch.batch);
                bar.set_message(message);
            }
            Event::Evaluating { done, images } => {
                if let Some(bar) = &self.bar {
                    let (done, images) = (print::grouped(*done), print::grouped(*images));
                    bar.set_message(format!("evaluating: {done} of {images} images"));
                }
            }
            Event::Note(_) | Event::DeviceChanged { .. } => {
                let print = || event.log_line().iter().for_each(print::status);
                self.bar.as_ref().map_or_else(print, |bar| bar.suspend(print));
            }
            Event::EpochEnd { metrics, best } => {
                self.bar = None;
                print::status(self.row(metrics, *best));
            }
            Event::Stopped { .. } => self.bar = None,
            Event::Finished { .. } => {
                self.bar = None;
                event.best_line().iter().for_each(print::status);
            }
            Event::Saved { .. } => {}
        }
    }

    /// The text next to the bar.
    fn message(&self, b: &BatchEvent) -> String {
        let Remaining { epoch, run, all } = self.estimate.remaining(b);
        let [of_epoch, of_run] = [epoch, run].map(print::clock);
        let left = match all {
            Some(all) => format!("run {of_run}, all {} left", print::clock(all)),
            None => format!("{of_epoch} left, run {of_run}"),
        };
        // The learning rate, which rows have too, makes way for more.
        let (rate, waiting) = match (b.waiting, all) {
            (Some(share), _) => (String::new(), format!(" {share:.0}% waiting")),
            (None, Some(_)) => Default::default(),
            (None, None) => (format!(" lr {}", print::rate(b.learning_rate)), String::new()),
        };
        let (loss, accuracy, speed) = (b.loss, b.accuracy, b.images_per_second);
        format!("loss {loss:.3} acc {accuracy:.1}%{rate} {speed:.0}/s{waiting} {left}")
    }

    /// A finished epoch's row; a star marks the best so far on the validation set.
    fn row(&self, m: &EpochMetrics, best: bool) -> String {
        let epochs = self.run.as_ref().map_or(m.epoch, |run| run.epochs);
        let mut row = format!(
            "{:>7}  {:>6}  {:>6.2}%",
            format!("{}/{epochs}", m.epoch),
            loss(m.train_loss),
            m.train_accuracy
        );
        if let Some(accuracy) = m.validation_accuracy {
            let star = if best { '*' } else { ' ' };
            row += &format!("  {accuracy:>6.2}%{star}");
        }
        if let (Some(test), Some(accuracy)) = (m.test_loss, m.test_accuracy) {
            row += &format!("  {:>6}  {accuracy:>6.2}%", loss(test));
        }
        row += &format!(
            "  {:>7}  {:>8}  {:>8.1}",
            print::rate(m.learning_rate),
            print::clock(m.seconds),
            m.images_per_second
        );
        row
    }
}

/// A loss in six characters; in the first epochs it can be huge.
fn loss(x: f64) -> String {
    match x {
        ..10.0 => format!("{x:.4}"),
        ..1000.0 => format!("{x:.2}"),
        ..1e6 => format!("{x:.0}"),
        _ => format!("{x:.0e}"),
    }
}

fn columns(validation: bool, test: bool) -> String {
    let validation = if validation { "  val acc " } else { "" };
    let test = if test { "    test      acc" } else { "" };
    format!("  epoch   train      acc{validation}{test}       lr      time  images/s")
}

fn epoch_bar(batch: &BatchEvent, position: Option<Position>) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:10} {msg}")
        .expect("a constant template")
        .progress_chars("━╸─");
    ProgressBar::new(batch.batches)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear)
        .with_prefix(match position {
            Some(Position { run, runs, .. }) => {
                format!("run {run}/{runs} epoch {}/{}", batch.epoch, batch.epochs)
            }
            None => format!("epoch {}/{}", batch.epoch, batch.epochs),
        })
}

#[cfg(test)]
mod tests {
    use resnet::{Dtype, train::Machine};

    use super::*;

    fn bar(validation_images: usize) -> EpochBar {
        let run = Started {
            folder: "runs/resnet110-cifar10-20261231-235959".into(),
            arch: "resnet110".into(),
            data: "cifar10".into(),
            recipe: "walkthrough".into(),
            parameters: 1_727_962,
            train_images: 45_000,
            test_images: 10_000,
            validation_images,
            batch_size: 100,
            steps_per_epoch: 450,
            total_steps: 45_000,
            epochs: 100,
            step: 12_345,
            history: Vec::new(),
            machine: Machine {
                cpu: None,
                gpu: None,
                isa: "portable".into(),
                threads: 16,
                processes: 1,
                machines: 1,
                dtype: Dtype::Fp32,
                dtype_reason: "avx512-bf16 has native bfloat16 dot products, bf16 would be faster"
                    .into(),
            },
        };
        EpochBar { run: Some(run), ..EpochBar::default() }
    }

    fn metrics(validation_accuracy: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch: 100,
            step: 45_000,
            train_loss: 0.0123,
            train_accuracy: 100.0,
            test_loss: Some(1.5),
            test_accuracy: Some(93.25),
            validation_loss: validation_accuracy.map(|_| 0.5),
            validation_accuracy,
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.001,
            seconds: 4000.0,
            images_per_second: 11.25,
            communication_seconds: None,
        }
    }

    #[test]
    fn rows_are_aligned_and_fit_80_columns() {
        for (images, accuracy, rate) in [(0, None, 0.1), (5000, Some(92.5), 3.2e-7)] {
            let bar = bar(images);
            let row = bar.row(&EpochMetrics { learning_rate: rate, ..metrics(accuracy) }, true);
            assert!(row.contains(&format!("{:>7}", print::rate(rate))), "{row}");
            let columns = columns(images > 0, true);
            assert_eq!(row.chars().count(), columns.chars().count(), "\n{columns}\n{row}");
            assert!(columns.len() <= 80, "{}", columns.len());
            let why = "built without GPU support (--features gpu)";
            let header = header(bar.run.as_ref().unwrap(), Some(why));
            let line = format!("\ndevice  portable, 16 threads; {why}\n");
            assert!(header.contains(&line), "{header}");
            assert!(header.lines().all(|line| line.len() <= 80), "{header}");
        }
    }

    #[test]
    fn several_processes_show_how_long_they_wait() {
        let message = |waiting, position| {
            let mut bar = bar(0);
            bar.estimate = Estimate::new(position);
            bar.estimate.set_batch_size(100.0);
            bar.message(&BatchEvent {
                epoch: 1,
                epochs: 100,
                batch: 300,
                batches: 450,
                step: 300,
                total_steps: 45_000,
                loss: 1.25,
                accuracy: 56.78,
                batch_loss: 1.5,
                batch_accuracy: 50.0,
                learning_rate: 0.1,
                images_per_second: 2500.0,
                waiting,
            })
        };
        let alone = message(None, None);
        assert_eq!(alone, "loss 1.250 acc 56.8% lr 0.100 2500/s 0:06 left, run 29:48");
        let shared = message(Some(12.4), None);
        assert_eq!(shared, "loss 1.250 acc 56.8% 2500/s 12% waiting 0:06 left, run 29:48");
        let position = Some(Position { run: 1, runs: 2, later: 1.0 });
        let among = message(None, position);
        assert_eq!(among, "loss 1.250 acc 56.8% 2500/s run 29:48, all 59:48 left");
        let shared = message(Some(0.0), position);
        assert_eq!(shared, "loss 1.250 acc 56.8% 2500/s 0% waiting run 29:48, all 59:48 left");
    }

    #[test]
    fn any_loss_fits_its_column() {
        for (x, text) in [(0.12345, "0.1235"), (34.5, "34.50"), (34816.6, "34817"), (2e30, "2e30")]
        {
            assert_eq!(loss(x), text);
        }
    }

    #[test]
    fn a_star_marks_the_best_epoch() {
        let stars = |validation, best| bar(5000).row(&metrics(validation), best).contains('*');
        assert!(stars(Some(90.0), true) && !stars(Some(90.0), false));
        assert!(!stars(None, true), "there is nothing to choose by");
    }
}
