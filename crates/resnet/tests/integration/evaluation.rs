//! Which images are evaluated, and how many at a time.

use std::{ops::ControlFlow::Continue, path::Path};

use resnet::{
    Arch, Cpu, Dtype, Network,
    data::{
        CacheOptions, DataError, ImageSet, Images, Normalisation, PhotoOptions, PhotoSet, Photos,
        photo::Preparation,
    },
    evaluate::{
        EvaluateError, EvaluateOptions, Protocol, ProtocolImages, evaluate, evaluate_photos,
        probabilities,
    },
    experiment::responses,
    model_file::Model,
    network::Init,
};

#[test]
fn images_without_all_their_pixels_are_refused() {
    let (model, cpu) = (Model::demo(), Cpu::new(1).unwrap());
    let normalisation = model.normalisation.as_ref().unwrap();
    let preparation = model.preparation(normalisation).unwrap();
    // The pixels of a whole batch, and of one image more but for a byte.
    for bytes in [128 * 3072, 129 * 3072 - 1] {
        let (pixels, labels) = (vec![0; bytes], vec![0; 129]);
        let images = Images { height: 32, width: 32, channels: 3, pixels, labels };
        let set = ImageSet::Memory(images.clone());
        let of = ProtocolImages { images: &set, preparation, normalisation };
        let (options, protocol) = (EvaluateOptions::default(), Protocol::Scales(vec![32]));
        let dtype = Dtype::Fp32;
        let quiet = &mut |_| Continue(());
        let errors = [
            evaluate(&model, &options, &images, normalisation, &cpu, &mut |_, _| {}).unwrap_err(),
            probabilities(&model, dtype, &protocol, of, &cpu, &mut |_| {}).unwrap_err(),
            responses(&model.network, &set, normalisation, dtype, &cpu, quiet).unwrap_err(),
        ];
        for error in errors {
            let EvaluateError::Images(DataError::Pixels { images, .. }) = error else {
                panic!("{error}");
            };
            assert_eq!(images, 129);
        }
    }
}

/// Large photos, of which memory does not hold as many as there are.
#[test]
fn photos_are_evaluated_in_batches_that_fit_into_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocols/photos");
    let set = PhotoSet::open(&folder, None).unwrap();
    let options = PhotoOptions { workers: 2, cache: CacheOptions::None };
    let photos = Photos::new(set.train, Preparation::new(1024, None, 3), options);
    let arch: Arch = "resnet8".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(3), Init::PyTorch, 0));
    let (normalisation, cpu) = (Normalisation::imagenet(), Cpu::new(2).unwrap());
    let mut batches = Vec::new();
    let mut listen = |labels: &[u32], _: &[f32]| batches.push(labels.len());
    let result =
        evaluate_photos(&model, Dtype::Fp32, None, &photos, &normalisation, &cpu, &mut listen);
    assert_eq!(result.unwrap().images, 4);
    assert!(batches.len() > 1 && batches.iter().sum::<usize>() == 4, "{batches:?}");
}
