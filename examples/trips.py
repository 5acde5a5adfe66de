"""Fit a model of fares to Parquet files of trips, on the workers of a Dask cluster, and print its summary.

    python examples/trips.py FOLDER [SCHEDULER]

FOLDER has Parquet files; SCHEDULER is the address of a cluster, one on this machine by default. Rows stay
where they are: a pass over them is one small task for each partition, and what it gives is merged in a fixed
tree, so that the answer has the same bits for any number of workers, and where some of them are lost.
"""

import sys

import dask.dataframe as dd
from distributed import Client, LocalCluster

import nearlin
from nearlin.data import blocks


def fitted(folder):
    """Return a linear model of the fares."""
    trips = dd.read_parquet(folder).repartition(partition_size="64MB")
    trips["minutes"] = (trips.dropoff - trips.pickup).dt.total_seconds() / 60
    rows = blocks(trips, target="fare", exclude=["pickup", "dropoff", "city"], nulls="drop")
    return nearlin.LinearRegression().fit(rows)


def main(folder, scheduler=None):
    """Fit on a cluster."""
    with Client(scheduler or LocalCluster(threads_per_worker=1, dashboard_address=None)):
        model = fitted(folder)
        print(model.summary())
        print(model.certificate_)


if __name__ == "__main__":
    main(*sys.argv[1:])
