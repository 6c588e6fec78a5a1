"""Benchmarks inference in ONNX Runtime, on the network exported by PyTorch."""

import io
import warnings

import nets
import onnxruntime
import serve
import torch


def prepare(args):
    if (args.mode, args.dtype) != ("eval", "fp32"):
        raise SystemExit("ONNX Runtime supports only --mode eval and --dtype fp32")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, shape, _ = nets.build(args.arch)
    images = torch.randn(args.batch, *shape)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    model = export(net.eval(), images)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    facts = {"onnxruntime": onnxruntime.__version__, "threads": args.threads}
    return lambda: session.run(None, feed), facts


def export(net, images):
    """Returns the network as bytes of an ONNX file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # The newer exporter (`dynamo=True`) needs another package, onnxscript.
        torch.onnx.export(net, (images,), file, input_names=["images"], dynamo=False)
    return file.getvalue()


if __name__ == "__main__":
    parser = serve.arguments(__doc__)
    parser.set_defaults(mode="eval")
    serve.run(parser.parse_args(), prepare)
