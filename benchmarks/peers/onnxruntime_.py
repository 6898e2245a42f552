"""ONNX Runtime, which predicts."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from .rows import Inference, Unsupported

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "softmax": "Softmax"}
OPSET, IR_VERSION = 17, 8


class Library:
    def __init__(self, name, threads):
        self.threads = threads

    def version(self):
        return onnxruntime.__version__

    def prepare(self, row, shuffle):
        if not isinstance(row, Inference):
            raise Unsupported("it predicts only")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model(row), options, providers=["CPUExecutionProvider"])
        inputs, outputs = {"a0": row.inputs}, [session.get_outputs()[0].name]

        def run(calls):
            for _ in range(calls):
                session.run(outputs, inputs)
            return calls

        return run, lambda: row.loss(session.run(outputs, inputs)[0])


def model(row):
    """Return the network as the bytes of an ONNX model."""
    nodes, weights = [], []
    layers = list(zip(*row.parameters(), strict=True))
    a = "a0"
    for i, (W, b) in enumerate(layers, start=1):
        weights += [numpy_helper.from_array(W, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [a, f"W{i}", f"b{i}"], [f"z{i}"]))
        a, name = f"z{i}", row.activation if i < len(layers) else row.output
        if name in OPERATORS:
            a = f"a{i}"
            nodes.append(helper.make_node(OPERATORS[name], [f"z{i}"], [a]))
    kind = TensorProto.DOUBLE if np.dtype(row.dtype) == np.float64 else TensorProto.FLOAT
    rows = len(row.inputs)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("a0", kind, [rows, row.units[0]])],
        [helper.make_tensor_value_info(a, kind, [rows, row.units[-1]])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return made.SerializeToString()
