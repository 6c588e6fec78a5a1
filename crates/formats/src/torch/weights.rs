//! Which of the models in a file.

use std::{convert::Infallible, fmt, str::FromStr};

/// Which weights to take of a file with several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// The average of the weights, if there is one, else the weights; see [the order](super).
    #[default]
    Usual,
    /// The average of the weights.
    Average,
    /// The weights themselves.
    Model,
    /// Those under a key.
    Key(String),
}

/// Keys of a model's average.
pub(super) const AVERAGES: &[&str] = &["state_dict_ema", "model_ema", "ema_state_dict", "ema"];

impl Weights {
    /// Whether a key is one of the average of a model.
    pub fn is_average(key: &str) -> bool {
        AVERAGES.contains(&key)
    }
}

impl FromStr for Weights {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(match name {
            "ema" => Weights::Average,
            "model" => Weights::Model,
            key => Weights::Key(key.to_owned()),
        })
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Weights::Usual => "the usual weights",
            Weights::Average => "ema",
            Weights::Model => "model",
            Weights::Key(key) => key,
        })
    }
}
