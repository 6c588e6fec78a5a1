//! Standard deviations of layer responses, against naive ones.

use std::ops::ControlFlow::{Break, Continue};

use resnet::{
    Arch, Cpu, Dtype, Graph, Network,
    data::{ImageSet, Images, Normalisation},
    engine::{EvalPlan, Input},
    evaluate::EvaluateError,
    experiment::{Response, layers, responses},
    network::Init,
};

const SIDE: usize = 16;

/// Images of a formula.
fn images(count: usize) -> Images {
    let value = |i: usize| (i * i * 7 + i / 31 * 13 + i % 5 * 40) as u8;
    let pixels = (0..count * SIDE * SIDE * 3).map(value).collect();
    let labels = (0..count as u32).map(|i| i % 2).collect();
    Images { height: SIDE, width: SIDE, channels: 3, pixels, labels }
}

fn normalisation() -> Normalisation {
    Normalisation::new(vec![0.4, 0.5, 0.6], vec![0.2, 0.25, 0.3])
}

fn measure(network: &Network, images: &Images) -> Vec<Response> {
    let (set, cpu) = (ImageSet::Memory(images.clone()), Cpu::new(2).unwrap());
    let mut last = 0;
    let found = responses(network, &set, &normalisation(), Dtype::Fp32, &cpu, &mut |done| {
        last = done;
        Continue(())
    });
    assert_eq!(last, images.len());
    found.unwrap().expect("it was not stopped")
}

#[test]
fn a_mean_image_of_another_size_is_refused() {
    let arch: Arch = "resnet8".parse().unwrap();
    let network = Network::new(arch.graph(10), Init::PyTorch, 0);
    let (set, cpu) = (ImageSet::Memory(images(2)), Cpu::new(1).unwrap());
    let normalisation = Normalisation { mean_image: Some(vec![0.5; 3]), ..normalisation() };
    let quiet = &mut |_| Continue(());
    let found = responses(&network, &set, &normalisation, Dtype::Fp32, &cpu, quiet);
    assert!(matches!(found, Err(EvaluateError::MeanImage { .. })), "{found:?}");
}

fn naive_std(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    (values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// A batch norm of a filter that copies a channel: its output is known.
#[test]
fn a_copied_channel_has_the_deviation_of_its_pixels() {
    let mut graph = Graph::new(3);
    let x = graph.conv2d("conv1", Graph::INPUT, 1, 3, 1, 1);
    let x = graph.batch_norm2d("bn1", x);
    let x = graph.relu("relu1", x);
    let x = graph.global_avg_pool("avgpool", x);
    graph.linear("fc", x, 2);
    let mut network = Network::new(graph, Init::PyTorch, 0);
    let param = |network: &Network, name: &str| {
        network.params().iter().find(|param| param.name == name).unwrap().range.clone()
    };
    let (weight, scale) = (param(&network, "conv1.weight"), param(&network, "bn1.weight"));
    let weight = &mut network.values_mut()[weight];
    weight.fill(0.0);
    // [out][row][column][in]: the middle of the second channel.
    weight[(3 + 1) * 3 + 1] = 1.0;
    network.values_mut()[scale].fill(4.0);

    let images = images(9);
    let green = images.pixels.iter().skip(1).step_by(3);
    let values: Vec<f32> = green.map(|&byte| (f32::from(byte) / 255.0 - 0.5) / 0.25).collect();
    // Running statistics of a new network are 0 and 1.
    let expected = 4.0 / (1.0f64 + 1e-5).sqrt() * naive_std(&values);
    let [response] = &measure(&network, &images)[..] else { panic!("one layer") };
    assert_eq!(response.layer, "conv1");
    assert!((response.std / expected - 1.0).abs() < 1e-5, "{} and {expected}", response.std);
}

#[test]
fn every_layer_agrees_with_a_naive_deviation_of_what_a_probe_of_its_own_finds() {
    let images = images(5);
    for arch in ["resnet8", "plain8", "preresnet8"] {
        let arch: resnet::Arch = arch.parse().unwrap();
        let network = Network::new(arch.graph(2), Init::PyTorch, 1);
        let (graph, cpu) = (network.graph(), Cpu::new(1).unwrap());
        let found = measure(&network, &images);
        assert_eq!(found.len(), 7, "{arch}");
        for (response, (conv, node)) in found.iter().zip(layers(graph)) {
            assert_eq!(response.layer, graph.nodes()[conv].name);
            let mut plan =
                EvalPlan::with_probes(graph, Dtype::Fp32, 5, SIDE, SIDE, &[node], &cpu).unwrap();
            plan.load(&network);
            plan.forward(Input::Bytes(&images.pixels, &normalisation()), 5);
            let values: Vec<f32> = (0..5).flat_map(|image| plan.probed(node, image).1).collect();
            let expected = naive_std(&values);
            let error = (response.std / expected - 1.0).abs();
            assert!(error < 1e-4, "{arch} {}: {} and {expected}", response.layer, response.std);
        }
    }
}

#[test]
fn wrong_images_are_refused_and_stopping_has_no_result() {
    let arch: resnet::Arch = "resnet8".parse().unwrap();
    let network = Network::new(arch.graph(2), Init::PyTorch, 1);
    let cpu = Cpu::new(1).unwrap();
    let measure = |images: Images, go_on| {
        let set = ImageSet::Memory(images);
        responses(&network, &set, &normalisation(), Dtype::Fp32, &cpu, &mut |_| go_on)
    };
    assert!(measure(images(0), Continue(())).unwrap_err().to_string().contains("no images"));
    let grey = Images { channels: 1, pixels: vec![0; SIDE * SIDE], labels: vec![0], ..images(0) };
    assert!(measure(grey, Continue(())).unwrap_err().to_string().contains("3 channels"));
    assert_eq!(measure(images(2), Break(())).unwrap(), None);
}
