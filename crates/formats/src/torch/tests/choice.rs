//! Which of the things in a file is the model.

use super::{build::*, *};

fn load(code: Code) -> Checkpoint {
    from_bytes(&file(code, &[])).unwrap()
}

fn error(code: Code) -> FormatErrorKind {
    from_bytes(&file(code, &[])).unwrap_err()
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.model.iter().map(|(name, _)| &name[..]).collect()
}

/// A state dict of one tensor of this name.
fn weights(name: &str) -> Code {
    dict(&[(name, one())])
}

#[test]
fn a_model_under_any_of_the_keys_is_found() {
    for key in [
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "net",
        "network",
        "weights",
        "module",
        "ema",
        "anything",
    ] {
        let checkpoint = load(dict(&[("epoch", int(3)), (key, weights("a"))]));
        assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
        assert_eq!(names(&checkpoint), ["a"]);
        assert_eq!(checkpoint.scalars, [("epoch".into(), Scalar::Int(3))]);
    }
    // In a dict in a dict.
    let inner = dict(&[("state_dict", weights("a")), ("epoch", int(3))]);
    assert_eq!(names(&load(dict(&[("model", inner)]))), ["a"]);
}

#[test]
fn averages_come_second() {
    let both = dict(&[("ema", weights("a")), ("model", weights("b")), ("other", weights("c"))]);
    assert_eq!(names(&load(both)), ["b"]);
    let second = dict(&[("other", weights("c")), ("model_ema", weights("a"))]);
    assert_eq!(names(&load(second)), ["a"]);
}

#[test]
fn two_that_are_equally_good_are_an_error() {
    for keys in [["model", "net"], ["generator", "discriminator"], ["ema", "model_ema"]] {
        let both = dict(&keys.map(|key| (key, weights(key))));
        match error(both) {
            FormatErrorKind::SeveralModels(mut found) => {
                found.sort();
                let mut keys = keys.map(|key| format!("'{key}'"));
                keys.sort();
                assert_eq!(found, keys);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_file_without_a_model_says_what_it_holds() {
    let message = error(dict(&[("epoch", int(3)), ("args", dict(&[]))])).to_string();
    assert!(message.contains("a dict of 2: 'epoch' (an integer), 'args' (a dict)"), "{message}");
    assert!(error(list(&[])).to_string().contains("it is a list"));
    assert!(error(dict(&[])).to_string().contains("an empty dict"));
    let message = error(object("__main__.Net", &[])).to_string();
    assert!(message.contains("an object of class __main__.Net"), "{message}");
    // An optimizer alone is none.
    let sgd = dict(&[("state", keyed(&[(int(0), weights("momentum_buffer"))]))]);
    assert!(matches!(error(dict(&[("optimizer", sgd)])), FormatErrorKind::NoModel(_)));
}

#[test]
fn tensors_beside_other_things_are_a_state_dict() {
    let checkpoint = load(dict(&[("a", one()), ("epoch", int(3))]));
    assert_eq!(checkpoint.layout, TorchLayout::StateDict);
    assert_eq!(names(&checkpoint), ["a"]);
    assert_eq!(checkpoint.scalars, [("epoch".into(), Scalar::Int(3))]);
}

#[test]
fn prefixes_are_stripped_where_all_share_one() {
    let load = |keys: [&str; 2]| load(dict(&keys.map(|key| (key, one()))));
    assert_eq!(names(&load(["module.a.b", "module.c"])), ["a.b", "c"]);
    assert_eq!(names(&load(["module._orig_mod.model.a", "module._orig_mod.model.c"])), ["a", "c"]);
    assert_eq!(names(&load(["module.a", "b"])), ["module.a", "b"]);
    assert_eq!(names(&load(["module.", "module.a"])), ["module.", "module.a"]);
}

#[test]
fn two_tensors_of_one_name_are_an_error() {
    let twice = dict(&[("a", one()), ("a", one())]);
    assert!(matches!(error(twice), FormatErrorKind::DuplicateName(name) if name == "a"));
}

/// An `nn.Module`.
fn module(
    class: &str,
    parameters: &[(&str, Code)],
    buffers: &[(&str, Code)],
    hidden: &[&str],
    children: &[(&str, Code)],
) -> Code {
    let hidden = list(&hidden.iter().map(|name| text(name)).collect::<Vec<_>>());
    object(
        class,
        &[
            ("_parameters", dict(parameters)),
            ("_buffers", dict(buffers)),
            ("_non_persistent_buffers_set", call("__builtin__.set", &[hidden])),
            ("_modules", dict(children)),
        ],
    )
}

#[test]
fn modules_are_walked() {
    let parameter = call("torch._utils._rebuild_parameter", &[one(), none(), none()]);
    let leaf = module(
        "torch.nn.modules.batchnorm.BatchNorm2d",
        &[("weight", parameter), ("bias", none())],
        &[("running_mean", one()), ("cache", one())],
        &["cache"],
        &[],
    );
    let net = module(
        "__main__.Net",
        &[("scale", one())],
        &[],
        &[],
        &[("bn", leaf.clone()), ("nothing", none()), ("again", leaf)],
    );
    let expected = ["scale", "bn.weight", "bn.running_mean", "again.weight", "again.running_mean"];
    let checkpoint = load(net.clone());
    assert_eq!((checkpoint.layout, names(&checkpoint)), (TorchLayout::Module, expected.to_vec()));
    // Data parallel, and under a key.
    let class = "torch.nn.parallel.data_parallel.DataParallel";
    let wrapped = module(class, &[], &[], &[], &[("module", net)]);
    assert_eq!(names(&load(wrapped.clone())), expected);
    let checkpoint = load(dict(&[("net", wrapped), ("acc", float(0.5))]));
    assert_eq!(
        (checkpoint.layout, names(&checkpoint)),
        (TorchLayout::Checkpoint, expected.to_vec())
    );
}

fn sgd_group(more: &[(&str, Code)]) -> Code {
    let numbers = [("lr", 0.1), ("momentum", 0.9), ("dampening", 0.0), ("weight_decay", 1e-4)];
    let mut group: Vec<_> = numbers.map(|(key, value)| (key, float(value))).to_vec();
    group.push(("params", list(&[int(94_000), int(93_000)])));
    group.extend_from_slice(more);
    dict(&group)
}

fn with_optimizer(state: &[(Code, Code)], group: Code) -> Checkpoint {
    let optimizer = dict(&[("state", keyed(state)), ("param_groups", list(&[group]))]);
    load(dict(&[("model", weights("a")), ("optimizer", optimizer)]))
}

#[test]
fn optimizers_other_than_sgd_are_left_out_with_a_reason() {
    let buffer = |value| keyed(&[(text("momentum_buffer"), value)]);
    // Parameters that are numbered by address; one without a buffer.
    let state = [(int(93_000), buffer(one())), (int(94_000), buffer(none()))];
    let sgd = with_optimizer(&state, sgd_group(&[])).optimizer.unwrap();
    assert_eq!(sgd.momentum, [None, Some(Tensor::f32(&[1], vec![1.0]))]);

    let stray = [(int(1), buffer(one()))];
    for (checkpoint, reason) in [
        (with_optimizer(&stray, sgd_group(&[])), "a parameter that it does not have"),
        (with_optimizer(&[], sgd_group(&[("maximize", b"\x88".to_vec())])), "maximizes"),
        (with_optimizer(&[], dict(&[("lr", float(0.1)), ("params", list(&[]))])), "not SGD's"),
        (
            load(dict(&[("model", weights("a")), ("optim", object("torch.optim.SGD", &[]))])),
            "'optim' is not the state dict of an optimizer",
        ),
    ] {
        assert_eq!(checkpoint.optimizer, None);
        let note = checkpoint.optimizer_note.unwrap();
        assert!(note.contains(reason), "{note}");
    }
}

#[test]
fn plain_values_of_every_kind_are_kept() {
    let numpy = |kind: &str, order: &str, bytes: &[u8]| {
        let dtype = call("numpy.dtype", &[text(kind), none(), none()]);
        let state = tuple(&[int(3), text(order), none(), none(), none()]);
        let dtype = [dtype, state, b"b".to_vec()].concat();
        let bytes = [&b"C"[..], &[bytes.len() as u8], bytes].concat();
        call("numpy.core.multiarray.scalar", &[dtype, bytes])
    };
    let scalar = view(storage("torch.cuda.FloatStorage", "one", 1), 0, &[], &[]);
    let checkpoint = load(dict(&[
        ("model", weights("a")),
        ("arch", text("resnet18")),
        ("classes", list(&[text("cat"), text("dog")])),
        ("best", scalar),
        ("f8", numpy("f8", "<", &2.5f64.to_le_bytes())),
        ("i8", numpy("i8", ">", &7i64.to_be_bytes())),
        ("done", b"\x89".to_vec()),
        ("nothing", none()),
        ("args", object("argparse.Namespace", &[("lr", float(0.1))])),
    ]));
    let expected = [
        ("arch", Scalar::Text("resnet18".into())),
        ("classes", Scalar::TextList(vec!["cat".into(), "dog".into()])),
        ("best", Scalar::Float(1.0)),
        ("f8", Scalar::Float(2.5)),
        ("i8", Scalar::Int(7)),
        ("done", Scalar::Bool(false)),
    ];
    let expected = expected.map(|(name, scalar)| (name.to_owned(), scalar));
    assert_eq!(checkpoint.scalars, expected);
}
