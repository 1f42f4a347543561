select id, g, i, n, s, flag, f, f2, d, dt, ts, ym, dt2, cast(i as tinyint) as b, cast(d as decimal(38,2)) as big,
  cast(if(id = 1, 9223372036854775807, i) as bigint) as l, cast(i as bigint) * 1000 as l2, cast(1 as int) as sum_me
from values
  (1, 1, 1, null, 'a', true, 0.0D, 1.5D, 1.10BD, date'2020-01-01', timestamp'2020-01-01 00:00:00', interval '1' month, interval '1' day),
  (2, 1, 2, 20, 'b', true, -0.0D, 2.5D, 2.20BD, date'2020-01-02', timestamp'2020-01-02 10:00:00', interval '2' month, interval '2' day),
  (3, 2, 3, null, null, false, double('NaN'), 4.0D, 3.35BD, date'2020-01-03', timestamp'2020-01-03 00:00:00', interval '5' month, interval '3' day),
  (4, 2, 4, 40, 'd', null, double('NaN'), 8.25D, 4.45BD, date'2020-01-05', timestamp'2020-01-04 00:00:00', null, interval '5' day),
  (5, 2, 5, 50, 'e', true, 1.0D, 9.5D, null, date'2020-01-06', timestamp'2020-01-05 00:00:00', interval '7' month, null)
as t(id, g, i, n, s, flag, f, f2, d, dt, ts, ym, dt2)
