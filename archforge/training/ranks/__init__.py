"""Training by several processes, ranks, each of which learns from a part of every batch.

An engine adds arrays up over the ranks: one file each (`ring`, `mpi`, `nccl`), `engines` what they have in
common. `group` bounds each sum by a time, `exchange` sends gradients while the way back goes on, `agreement`
holds ranks against each other, `batch_norm` joins the statistics of batch norms. `job` and `hosts` start the
processes of a run and end with their result.
"""
