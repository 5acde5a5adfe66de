"""pyarrow, or what to do without it."""

try:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError(
        "nearlin.data reads tables by pyarrow, which is not installed; run `pip install pyarrow`, or give an "
        "array or an iterator of arrays"
    ) from error

__all__ = ["ds", "pa", "pq"]
