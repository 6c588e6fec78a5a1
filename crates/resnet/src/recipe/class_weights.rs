//! Weights of the classes in the loss.

use serde::{Deserialize, Serialize};

/// Weights of the classes in the loss, as `torch.nn.CrossEntropyLoss(weight=...)` takes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "class_weights must be \"balanced\" or a list of numbers")]
pub enum ClassWeights {
    /// Weights by a rule.
    Rule(Rule),
    /// A weight for each class, above 0.
    Given(Vec<f32>),
}

/// A rule for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The inverse of a class's number of training images, so that all classes count the same and the mean
    /// over the images is 1 (scikit-learn's `class_weight="balanced"`).
    Balanced,
}

impl ClassWeights {
    /// The rule of `balanced`.
    pub const BALANCED: ClassWeights = ClassWeights::Rule(Rule::Balanced);

    /// The weights of `classes` classes, for training images of these labels. Classes without images
    /// have 1 by the rule.
    ///
    /// # Panics
    /// If a label is not below `classes`, and there is a rule.
    ///
    /// ```
    /// use resnet::recipe::ClassWeights;
    /// // sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1], y=[0, 0, 0, 1])
    /// assert_eq!(ClassWeights::BALANCED.of(&[0, 0, 0, 1], 2), [2.0 / 3.0, 2.0]);
    /// ```
    pub fn of(&self, labels: &[u32], classes: usize) -> Vec<f32> {
        if let ClassWeights::Given(weights) = self {
            return weights.clone();
        }
        let mut counts = vec![0_u64; classes];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let present = counts.iter().filter(|&&count| count > 0).count();
        let weight = |count: u64| match count {
            0 => 1.0,
            count => (labels.len() as f64 / (present as f64 * count as f64)) as f32,
        };
        counts.into_iter().map(weight).collect()
    }

    /// Checks that there is a weight above 0 for each class.
    pub(crate) fn check(&self, classes: usize) -> Result<(), String> {
        let ClassWeights::Given(weights) = self else { return Ok(()) };
        if weights.len() != classes {
            return Err(format!(
                "class_weights has {} weights, but the data has {classes} classes (--class-weights)",
                weights.len()
            ));
        }
        if !weights.iter().all(|weight| weight.is_finite() && *weight > 0.0) {
            return Err("class_weights must be above 0, and finite (--class-weights)".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Table {
        class_weights: ClassWeights,
    }

    #[test]
    fn both_forms_are_read_and_written() {
        for (text, class_weights) in [
            ("class_weights = \"balanced\"\n", ClassWeights::BALANCED),
            ("class_weights = [0.5, 2.0]\n", ClassWeights::Given(vec![0.5, 2.0])),
        ] {
            let table = Table { class_weights };
            assert_eq!(toml::from_str::<Table>(text).unwrap(), table);
            assert_eq!(toml::to_string(&table).unwrap(), text);
        }
        let error = toml::from_str::<Table>("class_weights = \"equal\"").unwrap_err().to_string();
        assert!(error.contains("\"balanced\" or a list of numbers"), "{error}");
    }

    #[test]
    fn weights_are_one_on_average_over_the_images() {
        let labels = [0, 2, 2, 2, 0, 2, 3];
        let weights = ClassWeights::BALANCED.of(&labels, 5);
        assert_eq!((weights[1], weights[4]), (1.0, 1.0));
        let sum: f32 = labels.iter().map(|&label| weights[label as usize]).sum();
        assert!((sum - 7.0).abs() < 1e-5);
        let given = ClassWeights::Given(vec![0.5, 2.0]);
        assert_eq!(given.of(&labels, 2), [0.5, 2.0]);
        assert!(given.check(2).is_ok() && given.check(3).unwrap_err().contains("3 classes"));
        assert!(ClassWeights::Given(vec![0.0, 1.0]).check(2).unwrap_err().contains("above 0"));
    }
}
