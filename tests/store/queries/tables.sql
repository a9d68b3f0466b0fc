CREATE TABLE conn (ts DateTime64(9, 'UTC'), uid String, `id.orig_h` IPv6, `id.orig_p` UInt16, `id.resp_h` IPv6, `id.resp_p` UInt16,
  proto LowCardinality(String), service LowCardinality(String), duration Nullable(Float64), orig_bytes UInt64, resp_bytes UInt64,
  conn_state LowCardinality(String), history String, orig_pkts UInt64, resp_pkts UInt64, community_id String, vlan Nullable(UInt16),
  country LowCardinality(String)) ENGINE = MergeTree PARTITION BY toYYYYMMDD(ts) ORDER BY (toStartOfHour(ts), sipHash64(uid))
  SAMPLE BY sipHash64(uid)
---
CREATE TABLE dns (ts DateTime64(9, 'UTC'), uid String, `id.orig_h` IPv6, `id.resp_h` IPv6, query String, qtype_name String,
  rcode_name String, answers Array(String), TTLs Array(Float64), rtt Float64) ENGINE = ReplacingMergeTree ORDER BY (ts, uid)
---
CREATE TABLE ssl (ts DateTime64(9, 'UTC'), uid String, `id.orig_h` IPv6, server_name String, ja3 String, ja4 String, version String)
  ENGINE = MergeTree ORDER BY ts
---
CREATE TABLE http (ts DateTime64(9, 'UTC'), uid String, host String, uri String, user_agent String, status_code UInt16,
  headers Map(String, String), extra String, stream UInt32) ENGINE = MergeTree ORDER BY ts
---
INSERT INTO conn SELECT toDateTime64('2026-03-01 00:00:00', 9, 'UTC') + INTERVAL number * 13 SECOND, concat('C', hex(number)),
  toIPv6(concat('192.168.1.', toString(number % 20))), 30000 + number, toIPv6(concat('203.0.113.', toString(number % 7))),
  [53, 80, 443, 22][number % 4 + 1], if(number % 4 = 0, 'udp', 'tcp'), ['dns', 'http', 'ssl', 'ssh'][number % 4 + 1],
  if(number % 5 = 0, NULL, number / 10), number * 100, number * 1000, ['SF', 'S0', 'REJ', 'RSTO'][number % 4 + 1], 'ShADadFf', number, number,
  '1:abc', NULL, ['DE', 'US', 'CN'][number % 3 + 1] FROM numbers(2000)
---
INSERT INTO dns SELECT toDateTime64('2026-03-01 00:00:00', 9, 'UTC') + INTERVAL number SECOND, concat('C', hex(number * 4)),
  toIPv6('192.168.1.3'), toIPv6('9.9.9.9'), concat(hex(sipHash64(number)), '.example.org'), 'A', if(number % 9 = 0, 'NXDOMAIN', 'NOERROR'),
  ['203.0.113.1', '203.0.113.2'], [60, 300], 0.01 FROM numbers(300)
---
INSERT INTO ssl SELECT toDateTime64('2026-03-01 00:00:00', 9, 'UTC') + INTERVAL number SECOND, concat('C', hex(number * 4 + 2)),
  toIPv6('192.168.1.3'), 'www.example.org', hex(MD5(toString(number % 50))), 't13d1516h2', 'TLSv13' FROM numbers(300)
---
INSERT INTO http SELECT toDateTime64('2026-03-01 00:00:00', 9, 'UTC') + INTERVAL number SECOND, concat('C', hex(number * 4 + 1)),
  'www.example.org', concat('/a/b?x=', toString(number)), 'curl/8', 200, map('accept', '*/*'), '{"a": {"b": [1, 2]}, "s": "t"}', number
  FROM numbers(300)
