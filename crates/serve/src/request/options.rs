//! What a client wants to know of its images.

use crate::problem::Problem;

/// What a client wants to know of its images. None is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// How many of the most probable classes.
    pub(crate) top_k: Option<usize>,
    /// Whether the probability of every class.
    pub(crate) probabilities: Option<bool>,
    /// Whether a heat map.
    pub(crate) heat_map: Option<bool>,
}

impl Options {
    /// Those of a query string.
    pub(crate) fn of_query(query: Option<&str>) -> Result<Options, Problem> {
        let mut options = Options::default();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for (name, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "true"))) {
            let flag = || match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(Problem::invalid(format!("{name}: expected true or false"))),
            };
            match name {
                "top_k" => {
                    let count = value.parse().ok().filter(|&count: &usize| count > 0);
                    let wrong = || Problem::invalid("top_k: expected a whole number from 1");
                    options.top_k = Some(count.ok_or_else(wrong)?);
                }
                "probabilities" => options.probabilities = Some(flag()?),
                "heat_map" => options.heat_map = Some(flag()?),
                _ => {
                    let detail = "expected the parameters top_k, probabilities and heat_map only";
                    return Err(Problem::invalid(detail));
                }
            }
        }
        Ok(options)
    }

    /// These, and where they say nothing those.
    pub(crate) fn or(self, others: Options) -> Options {
        Options {
            top_k: self.top_k.or(others.top_k),
            probabilities: self.probabilities.or(others.probabilities),
            heat_map: self.heat_map.or(others.heat_map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_options_and_nothing_else() {
        let of = |query| Options::of_query(Some(query)).ok();
        let all = Options { top_k: Some(3), probabilities: Some(false), heat_map: Some(true) };
        assert_eq!(of("top_k=3&probabilities=0&heat_map"), Some(all));
        assert_eq!(of(""), Some(Options::default()));
        for wrong in ["top_k=0", "top_k=x", "top_k=-1", "heat_map=yes", "top=3", "="] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        let some = Options { top_k: Some(1), ..Options::default() };
        assert_eq!(some.or(all), Options { top_k: Some(1), ..all });
    }
}
