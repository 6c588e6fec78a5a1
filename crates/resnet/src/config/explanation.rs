//! What a recipe has chosen, in words.

use super::TrainConfig;
use crate::recipe::Freeze;

impl TrainConfig {
    /// What the recipe `finetune` has chosen for the data and why, in two or three sentences; none for another
    /// recipe, which has no choice.
    pub fn explanation(&self) -> Option<String> {
        if !self.recipe.is_finetune() {
            return None;
        }
        let counted = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let (images, classes) = (self.data.train_images, self.data.classes.len());
        let mut text = format!(
            "finetune: {images} images of {classes} classes are trained on for {} in batches of {}, which makes \
             {}.",
            counted(self.epochs(), "epoch"),
            self.recipe.batch_size.min(images),
            counted(self.total_steps, "step")
        );
        let alone = |freeze: &Freeze| freeze.until.map(|until| until * self.total_steps as f64);
        let (kept, gradual): (Vec<&Freeze>, Vec<&Freeze>) =
            self.recipe.freeze.iter().partition(|freeze| freeze.is_whole());
        if let [freeze] = gradual[..]
            && freeze.leaves_a_step(self.total_steps)
            && let Some(steps) = alone(freeze)
        {
            let epochs = steps / self.steps_per_epoch() as f64;
            let whole = (epochs - epochs.round()).abs() < 1e-6;
            let first = match epochs.round() as u64 {
                epochs if whole => counted(epochs, "epoch"),
                _ => counted(steps.round() as u64, "step"),
            };
            let kept: Vec<&str> =
                kept.iter().flat_map(|freeze| &freeze.layers).map(|layer| &**layer).collect();
            let rest = match &kept[..] {
                [] => "all layers".to_owned(),
                kept => format!("all layers but {}", kept.join(", ")),
            };
            text += &format!(" The classifier trains alone for {first}, then {rest} do.");
        }
        if self.recipe.layer_decay < 1.0 {
            text += &format!(
                " Each stage has {} of the rate of the next one: what is close to the image changes least.",
                self.recipe.layer_decay
            );
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::sample,
        recipe::{Freeze, Recipe},
    };

    #[test]
    fn it_says_what_was_chosen() {
        let mut config = sample();
        assert_eq!(config.explanation(), None);
        config.data.train_images = 1650;
        config.recipe = Recipe::of_size("finetune", config.arch, None, [1650, 2]).unwrap();
        config.total_steps = config.recipe.length.steps(config.steps_per_epoch());
        assert_eq!(
            config.explanation().unwrap(),
            "finetune: 1650 images of 2 classes are trained on for 5 epochs in batches of 32, which makes 260 \
             steps. The classifier trains alone for 1 epoch, then all layers do. Each stage has 0.7 of the \
             rate of the next one: what is close to the image changes least."
        );
        config.total_steps = 15;
        config.recipe.layer_decay = 1.0;
        let text = config.explanation().unwrap();
        assert!(text.ends_with("alone for 3 steps, then all layers do."), "{text}");
        config.recipe.freeze.insert(0, Freeze::layers(vec!["conv1".into(), "bn1".into()]));
        let text = config.explanation().unwrap();
        assert!(text.ends_with("alone for 3 steps, then all layers but conv1, bn1 do."), "{text}");
        config.recipe.freeze[0].until = Some(1.0);
        assert_eq!(config.explanation().unwrap(), text);
        config.recipe.freeze.remove(0);
        config.total_steps = 1;
        config.recipe.freeze[0].until = Some(0.5);
        assert!(config.explanation().unwrap().ends_with("which makes 1 step."));
        config.total_steps = 15;
        config.recipe.freeze.clear();
        assert!(config.explanation().unwrap().ends_with("which makes 15 steps."));
    }
}
