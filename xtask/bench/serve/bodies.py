"""Writes request bodies of a model's rows into a folder: `bodies.py ROWS.npy FOLDER`.

For 1, 32 and 4096 rows: NAME.json as Arborgate reads it, NAME.bin with NAME.header for the Open Inference Protocol's
binary extension, NAME.arrow, NAME.v2.json for the protocol in JSON, NAME.list.json as a FastAPI program takes it. What is
missing is a number here: not every server of the comparison reads a missing value.
"""

import json
import pathlib
import sys

import numpy
import pyarrow
import pyarrow.ipc

rows, folder = numpy.load(sys.argv[1]).astype(numpy.float32), pathlib.Path(sys.argv[2])
rows[numpy.isnan(rows)] = 0.5
folder.mkdir(parents=True, exist_ok=True)
for count in (1, 32, 4096):
    some = rows[:count]
    # As many digits as tell a 32-bit float apart, as a program that holds such numbers writes them.
    numbers = [[float(str(value)) for value in row] for row in some]

    def write(name, body):
        (folder / f"{count}.{name}").write_bytes(body if isinstance(body, bytes) else body.encode())

    write("json", json.dumps({"rows": numbers}, separators=(",", ":")))
    write("list.json", json.dumps({"rows": numbers}, separators=(",", ":")))
    tensor = {"name": "input", "shape": list(some.shape), "datatype": "FP32"}
    flat = [value for row in numbers for value in row]
    write("v2.json", json.dumps({"inputs": [{**tensor, "data": flat}]}, separators=(",", ":")))
    asked = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": some.nbytes}}],
        "outputs": [{"name": "predict_proba", "parameters": {"binary_data": True}}],
    }
    header = json.dumps(asked, separators=(",", ":")).encode()
    write("bin", header + some.tobytes())
    write("bin.length", str(len(header)))
    columns = {f"x{column}": some[:, column] for column in range(some.shape[1])}
    table = pyarrow.table(columns)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    write("arrow", sink.getvalue().to_pybytes())
