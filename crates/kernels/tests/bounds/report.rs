//! The report of a run.

use std::{collections::BTreeMap, fmt};

use resnet_kernels::conv::Direction;

use crate::case::Case;

/// Ratios of error and bound below which a histogram counts.
const BINS: [f64; 8] = [0.125, 0.25, 0.5, 1.0, 2.0, 10.0, 1e3, f64::INFINITY];

/// The number of worst cases and perturbations that are reported.
const WORST: usize = 3;

/// Cases that have a perturbation.
#[derive(Clone, Debug, Default)]
struct Tag {
    cases: usize,
    failures: usize,
    /// Failures that have it when shrunk.
    left: usize,
    worst: f64,
    /// As [`BINS`], and those that are infinite.
    histogram: [usize; BINS.len() + 1],
}

#[derive(Debug)]
pub(crate) struct Report {
    direction: Direction,
    /// The ratios of every case, by instruction set.
    ratios: Vec<(&'static str, Vec<f64>)>,
    tags: BTreeMap<String, Tag>,
    /// The worst cases, the worst first.
    worst: Vec<(f64, String)>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(direction: Direction) -> Self {
        Report {
            direction,
            ratios: Vec::new(),
            tags: BTreeMap::new(),
            worst: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// A case, and its ratio on every instruction set.
    pub(crate) fn add(&mut self, case: &Case, ratios: &[(&'static str, f64)]) {
        self.ratios.resize_with(ratios.len(), Default::default);
        for ((name, all), (isa, ratio)) in self.ratios.iter_mut().zip(ratios) {
            *name = isa;
            all.push(*ratio);
        }
        let worst = ratios.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
        let place = self.worst.iter().take_while(|(ratio, _)| *ratio >= worst).count();
        if place < WORST {
            self.worst.insert(place, (worst, format!("seed {}: {case}", case.seed)));
            self.worst.truncate(WORST);
        }
        for name in case.tags() {
            let tag = self.tags.entry(name).or_default();
            tag.cases += 1;
            tag.failures += usize::from(worst > 1.0);
            tag.worst = tag.worst.max(worst);
            let bin = BINS.iter().position(|bin| worst < *bin).unwrap_or(BINS.len());
            tag.histogram[bin] += 1;
        }
    }

    /// A failure, and the case that it was shrunk to.
    pub(crate) fn fail(&mut self, shrunk: &Case, message: String) {
        for name in shrunk.tags() {
            self.tags.entry(name).or_default().left += 1;
        }
        self.failures.push(message);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}\n")?;
        }
        for (isa, ratios) in &self.ratios {
            let mut sorted = ratios.clone();
            sorted.sort_by(f64::total_cmp);
            let (worst, median) = (sorted[sorted.len() - 1], sorted[sorted.len() / 2]);
            let failures = ratios.iter().filter(|ratio| **ratio > 1.0).count();
            write!(f, "{:?} on {isa}: {} cases, {failures} fail, ", self.direction, ratios.len())?;
            writeln!(f, "error / bound: worst {worst:.3}, median {median:.3}")?;
        }
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_by(|(_, a), (_, b)| b.left.cmp(&a.left).then(b.worst.total_cmp(&a.worst)));
        let is_perturbation = |(name, _): &&(&String, &Tag)| !name.starts_with('(');
        let names: Vec<_> = tags
            .iter()
            .filter(is_perturbation)
            .take(WORST)
            .map(|(name, _)| name.as_str())
            .collect();
        writeln!(f, "{:?}, the worst perturbations: {}", self.direction, names.join("; "))?;
        for (ratio, case) in &self.worst {
            writeln!(f, "{ratio:.3} of the bound: {case}")?;
        }
        write!(f, "{:<36}{:>6}{:>6}{:>6}{:>9} |", "", "cases", "fail", "left", "worst")?;
        for bin in BINS {
            write!(f, "{:>6}", format!("<{bin}"))?;
        }
        writeln!(f, "{:>6}", "=inf")?;
        for (name, tag) in tags {
            let Tag { cases, failures, left, worst, histogram } = tag;
            write!(f, "{name:<36}{cases:>6}{failures:>6}{left:>6}{worst:>9.2e} |")?;
            for count in histogram {
                write!(f, "{count:>6}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
