//! Convolutions that Muon trains, and everything else.

use resnet_engine::{
    Engine, EngineConfig, Input, MicroBatch, Targets,
    optim::{Muon, MuonRate, Rates, SgdConfig},
};
use resnet_kernels::{
    Cpu,
    muon::{self, Shape, Update},
};
use resnet_network::{Network, graph::NodeId};

use crate::graphs::{SIDES, labels, nets, noise};

const BATCH: usize = 5;
const MUON: Muon = Muon { lr: 0.1, momentum: 0.75, weight_decay: 0.5, steps: 2, rescale: 2 };

fn engine(net: &Network, muon: Option<Muon>) -> Engine {
    let sgd =
        SgdConfig { momentum: 0.9, weight_decay: 1e-3, nesterov: true, ..SgdConfig::default() };
    let [height, width] = SIDES;
    let optimizer = sgd.into();
    let config =
        EngineConfig { batch: BATCH, height, width, optimizer, muon, ..EngineConfig::default() };
    Engine::new(net.clone(), &config, &Cpu::new(2).unwrap()).unwrap()
}

fn backward(engine: &mut Engine, step: u64) {
    let (x, labels) = (noise(BATCH, step), labels(BATCH));
    let targets = Targets::labels(&labels, 0.0);
    engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), &mut ()).unwrap();
}

/// Rows and columns of a convolution's weight as a matrix; none of other parameters, and of those that
/// read the images.
fn matrix(net: &Network, node: NodeId, shape: &[usize]) -> Option<Shape> {
    let is_first = net.graph().nodes()[node].inputs == [resnet_network::Graph::INPUT];
    let columns = shape.iter().skip(1).product();
    (shape.len() == 4 && !is_first).then_some(Shape { rows: shape[0], columns })
}

/// Three steps. What Muon trains follows its kernel, and the rest SGD.
#[test]
fn muon_trains_all_convolutions_but_the_first() {
    let cpu = Cpu::new(2).unwrap();
    for (name, net) in nets() {
        let (mut found, mut plain) = (engine(&net, Some(MUON)), engine(&net, None));
        let mut momentum = vec![0.0; net.values().len()];
        for step in 0..3 {
            let start = found.store().unwrap().0.clone();
            plain.load(start.clone(), found.store().unwrap().1.clone());
            backward(&mut found, step);
            backward(&mut plain, step);
            assert_eq!(found.gradients().unwrap(), plain.gradients().unwrap());
            let rescale = MUON.rescales_at(step);
            assert_eq!(rescale, step != 1);
            let rates = Rates { lr: 0.02, muon: Some(MuonRate { lr: 0.3, rescale }) };
            found.apply(rates).unwrap();
            plain.apply(0.02).unwrap();
            let (network, held) = found.store().unwrap();
            let (by_sgd, _) = plain.store().unwrap();
            for param in net.params() {
                let range = param.range.clone();
                let mut expected = start.values()[range.clone()].to_vec();
                if let Some(shape) = matrix(&net, param.node, &param.shape) {
                    let u =
                        Update { lr: 0.3, momentum: 0.75, weight_decay: 0.5, steps: 2, rescale };
                    let (buffer, gradient) =
                        (&mut momentum[range.clone()], &found.gradients().unwrap()[range.clone()]);
                    let mut scratch = vec![f32::NAN; shape.scratch_len(&cpu)];
                    muon::update(&cpu, u, shape, &mut expected, buffer, gradient, &mut scratch);
                    assert_eq!(*buffer, held.values[0][range.clone()], "{name}: {}", param.name);
                    assert_ne!(expected, by_sgd.values()[range.clone()]);
                } else {
                    expected.copy_from_slice(&by_sgd.values()[range.clone()]);
                }
                assert_eq!(network.values()[range], expected, "{name}: {}, {step}", param.name);
            }
        }
    }
}

#[test]
fn frozen_convolutions_and_their_momentum_stay() {
    let (_, net) = nets().remove(1);
    let nodes = net.graph().nodes();
    let node = nodes.iter().position(|node| node.name == "c1").unwrap();
    let mut engine = engine(&net, Some(MUON));
    let step = |engine: &mut Engine, lr| {
        backward(engine, 1);
        engine.apply(Rates { lr: 0.02, muon: Some(MuonRate { lr, rescale: true }) }).unwrap();
        let (network, buffers) = engine.store().unwrap();
        let of_node = |values: &[f32]| {
            let params = network.params().iter().filter(|param| param.node == node);
            params.flat_map(|param| values[param.range.clone()].to_vec()).collect::<Vec<f32>>()
        };
        (of_node(network.values()), of_node(&buffers.values[0]))
    };
    let first = step(&mut engine, 0.1);
    engine.set_rates(|id| if id == node { 0.0 } else { 1.0 });
    assert_eq!(step(&mut engine, 0.1), first);
    engine.replan(SIDES[0], SIDES[1], &[node], &[]).unwrap();
    assert_eq!(step(&mut engine, 0.1), first);
    engine.replan(SIDES[0], SIDES[1], &[], &[]).unwrap();
    engine.set_rates(|_| 0.5);
    assert_ne!(step(&mut engine, 0.1), first);
}

#[test]
#[should_panic(expected = "the rate of Muon")]
fn its_rate_must_be_given() {
    let (_, net) = nets().remove(1);
    let mut engine = engine(&net, Some(MUON));
    backward(&mut engine, 1);
    engine.apply(0.1).unwrap();
}
