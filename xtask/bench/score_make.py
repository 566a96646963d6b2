"""Makes a Parquet file of random floats, to score: 32 columns f0 to f31 of 32 bits, 5 % of the values null.

    python3 -m venv VENV
    VENV/bin/pip install pyarrow==26.0.1 numpy==2.4.6
    VENV/bin/python score_make.py rows.parquet [--rows 10000000] [--columns 32] [--missing 0.05]

It writes a row group at a time and needs little memory. A model for it is any of 32 features without names, or by these
names; the numbers are those of a standard normal distribution.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 1 << 18


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--missing", type=float, default=0.05)
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    names = [f"f{column}" for column in range(options.columns)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(options.out, schema, compression="snappy") as writer:
        for first in range(0, options.rows, GROUP):
            rows = min(GROUP, options.rows - first)
            columns = []
            for _ in names:
                numbers = rng.standard_normal(rows, dtype=np.float32)
                columns.append(pa.array(numbers, mask=rng.random(rows, dtype=np.float32) < options.missing))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


if __name__ == "__main__":
    main()
