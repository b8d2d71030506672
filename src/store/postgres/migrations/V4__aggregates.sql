-- What the buckets say, on both layouts.
COMMENT ON VIEW pulseward.readings_1min IS
    'Quantities of each patient and vital, a minute to a bucket. Consciousness and absent values '
    'are not in it, nor what was marked as test, demo or without a sensor; implausible values are, '
    'so that an unconfirmed alert can be explained by them. The mean is sum / count. A late reading '
    'is in it within some minutes.';
COMMENT ON VIEW pulseward.readings_1h IS
    'The same as readings_1min, an hour to a bucket.';
COMMENT ON COLUMN pulseward.readings_1min.bucket IS
    'When it begins, counted from 1970-01-01 00:00 UTC; it ends before the next.';
COMMENT ON COLUMN pulseward.readings_1min.last IS
    'The value that was measured last, at last_measured_at.';
COMMENT ON COLUMN pulseward.readings_1h.bucket IS
    'When it begins, counted from 1970-01-01 00:00 UTC; it ends before the next.';
COMMENT ON COLUMN pulseward.readings_1h.last IS
    'The value that was measured last, at last_measured_at.';
