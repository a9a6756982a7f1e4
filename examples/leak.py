#!/usr/bin/python3
"""An analysis that leaks: a bootstrap that keeps every resampled data set "for later".

The question is honest: how sure is the mean brightness of each pixel of the handwritten digits (1,797 images)?
The mistake is an everyday one: the resamples are appended to a list so that they could be looked at afterwards,
although only their means are needed. Each is about 0.9 MB, so memory grows by 100 to 200 MB a second, without end
as far as any machine is concerned. Under scidex-run it ends at its memory limit.
"""
import time

import numpy
from sklearn.datasets import load_digits
from sklearn.utils import resample

REPLICATES = 1_000_000  # "more is better"
PER_SECOND = 150  # what the original took to fit a model to each; here only the pace is kept


def main():
    images = load_digits().data
    print(f"bootstrap over {len(images)} images, {REPLICATES} replicates", flush=True)
    kept, means = [], []
    for replicate in range(REPLICATES):
        sample = resample(images, random_state=replicate)
        kept.append(sample)  # the leak: nothing ever reads it
        means.append(sample.mean(axis=0))
        if replicate % (2 * PER_SECOND) == 0:
            error = numpy.std(means, axis=0).mean()
            print(f"replicate {replicate}: standard error {error:.4f}, keeping {len(kept)} samples", flush=True)
        time.sleep(1 / PER_SECOND)


if __name__ == "__main__":
    main()
