SELECT 1
select 1;
SELECT 1 ; ; -- the end
/* what /* nested */ it is */ SELECT 1 # of MySQL
SELECT 1 // of C
SELECT 'it''s', 'a\'b', 'x;y', '--', '/*', 'Ü ☃', '#', '$$'
SELECT version(), timezone()
SELECT name, value, readonly FROM system.settings LIMIT 10000
SELECT 1 AS check FORMAT Native
SELECT name, type, table FROM system.columns WHERE database IN ('headwater') AND table = 'conn'
SELECT name, is_aggregate, case_insensitive, alias_to, origin, description, syntax, arguments, returned_value, examples, categories FROM system.functions LIMIT 10000
SELECT name FROM system.tables WHERE database = 'headwater' AND engine IN ('View', 'MaterializedView') OR 1 ORDER BY name
SELECT currentDatabase(), currentUser(), user()
SELECT DISTINCT arrayJoin(headers.keys) as keys FROM "headwater"."http" LIMIT 1000
SELECT * FROM system.one
SELECT name FROM system.databases
SHOW DATABASES
SHOW TABLES
SHOW TABLES FROM "headwater"
SHOW TABLES FROM system LIKE 'one'
SHOW FULL TABLES IN headwater NOT LIKE 'x%' LIMIT 3
SHOW CREATE TABLE conn
SHOW CREATE headwater.conn
SHOW COLUMNS FROM conn
SHOW FULL COLUMNS FROM conn FROM headwater LIKE '%bytes'
SHOW FUNCTIONS LIKE 'arrayMap'
SHOW SETTINGS LIKE 'max_threads'
DESC TABLE "headwater"."conn"
DESCRIBE TABLE conn
DESCRIBE conn FORMAT JSON
DESCRIBE (SELECT ts, uid FROM conn)
DESCRIBE numbers(10)
DESCRIBE TABLE conn SETTINGS describe_include_subcolumns = 1
EXISTS TABLE conn
EXISTS headwater.conn
EXISTS DATABASE headwater
EXPLAIN SELECT count() FROM conn
EXPLAIN AST SELECT 1
EXPLAIN SYNTAX oneline = 1 SELECT * FROM conn
EXPLAIN QUERY TREE run_passes = 1, dump_ast = 1 SELECT uid FROM conn
EXPLAIN PLAN indexes = 1, actions = 1 SELECT count() FROM conn WHERE ts > '2026-03-01'
EXPLAIN PIPELINE graph = 1 SELECT sum(orig_bytes) FROM conn GROUP BY proto
EXPLAIN ESTIMATE SELECT * FROM conn
EXPLAIN indexes = 1 WITH a AS (SELECT 1 AS x) SELECT x FROM a
SELECT toStartOfInterval(ts, INTERVAL 15 MINUTE) AS t, proto, sum(orig_bytes + resp_bytes) * 8 / 900 AS bits FROM conn GROUP BY t, proto ORDER BY t
SELECT id.orig_h, sum(orig_bytes) AS sent, uniqExact(id.resp_h) AS peers FROM conn GROUP BY id.orig_h ORDER BY sent DESC LIMIT 10
SELECT `id.orig_h`, sum(orig_bytes) sent FROM conn GROUP BY 1 ORDER BY 2 DESC LIMIT 5, 5
SELECT service, quantilesTDigest(0.5, 0.95, 0.99)(duration) AS q, q[2] FROM conn GROUP BY service
SELECT service, quantileTDigestIf(0.9)(duration, duration > 0), medianExact(orig_bytes), avgOrNull(duration), countIf(conn_state = 'S0') FROM conn GROUP BY ALL
SELECT id.orig_h, id.resp_h, id.resp_p, groupArray(ts) AS t, arrayDifference(arrayMap(x -> toUnixTimestamp64Nano(x) / 1e9, arraySort(t))) AS d, avg(orig_bytes), length(d) AS n, arrayAvg(arraySlice(d, 2)) AS mean, sqrt(arrayAvg(arrayMap(x -> (x - mean) * (x - mean), arraySlice(d, 2)))) / mean AS cv FROM conn GROUP BY id.orig_h, id.resp_h, id.resp_p HAVING n >= 3 AND cv < 10 ORDER BY cv LIMIT 50
SELECT *, ts - lagInFrame(ts) OVER w AS gap FROM (SELECT ts, id.orig_h AS o, id.resp_h AS r FROM conn) WINDOW w AS (PARTITION BY o, r ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY gap LIMIT 5
WITH gaps AS (SELECT id.orig_h AS o, id.resp_h AS r, toFloat64(ts) - toFloat64(lag(ts) OVER (PARTITION BY id.orig_h, id.resp_h ORDER BY ts)) AS gap FROM conn) SELECT o, r, avg(gap) AS mean, stddevPop(gap) / mean AS cv FROM gaps WHERE gap IS NOT NULL GROUP BY o, r HAVING count() > 3 ORDER BY cv
SELECT uid, row_number() OVER (PARTITION BY id.orig_h ORDER BY orig_bytes DESC) AS n FROM conn QUALIFY n <= 3
SELECT dense_rank() OVER (ORDER BY proto), RANK() OVER (ORDER BY service), first_value(uid) OVER (PARTITION BY proto ORDER BY ts) FROM conn LIMIT 3
SELECT sum(orig_bytes) OVER (ORDER BY ts RANGE BETWEEN 60 PRECEDING AND CURRENT ROW) FROM (SELECT toUInt32(ts) AS ts, orig_bytes FROM conn) LIMIT 3
SELECT c.uid, d.query FROM conn AS c INNER JOIN dns AS d ON c.uid = d.uid LIMIT 5
SELECT uid FROM conn LEFT ANTI JOIN dns USING (uid) LIMIT 5
SELECT c.uid FROM conn c LEFT JOIN ssl s ON c.uid = s.uid WHERE s.uid IS NULL LIMIT 5
SELECT uid FROM conn WHERE uid NOT IN (SELECT uid FROM dns) LIMIT 5
SELECT uid FROM conn WHERE (uid, id.orig_h) IN (SELECT uid, id.orig_h FROM dns) OR 1 LIMIT 5
SELECT uid FROM conn GLOBAL ANY LEFT JOIN dns USING uid LIMIT 5
SELECT c.uid, d.ts FROM conn c ASOF LEFT JOIN dns d ON c.id.orig_h = d.id.orig_h AND c.ts >= d.ts LIMIT 5
SELECT count() FROM conn SEMI LEFT JOIN dns USING uid
SELECT a.number, b.number FROM numbers(3) AS a CROSS JOIN numbers(2) AS b
SELECT a.number, b.number FROM numbers(3) a, numbers(3) b WHERE a.number = b.number
SELECT * FROM (SELECT 1 AS x) PASTE JOIN (SELECT 2 AS y)
WITH rare AS (SELECT ja3 FROM ssl GROUP BY ja3 HAVING uniq(id.orig_h) <= 2) SELECT s.ja3, any(c.id.resp_h), count() FROM ssl s JOIN conn c USING (uid) WHERE s.ja3 IN (SELECT ja3 FROM rare) GROUP BY s.ja3
WITH 443 AS https, (SELECT max(ts) FROM conn) AS newest SELECT count() FROM conn WHERE id.resp_p = https AND ts > newest - INTERVAL 1 DAY
WITH RECURSIVE steps AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM steps WHERE n < 5) SELECT n FROM steps
WITH t (a, b) AS (SELECT 1, 2) SELECT a + b FROM t
SELECT id.orig_h, country FROM conn WHERE ts >= '2026-03-01' AND (id.orig_h, country) NOT IN (SELECT id.orig_h, country FROM conn WHERE ts < '2026-03-01') GROUP BY id.orig_h, country
SELECT country, count() AS n, bar(n, 0, 1000, 20) FROM conn GROUP BY country WITH TOTALS ORDER BY n DESC
SELECT proto, service, count() FROM conn GROUP BY ROLLUP(proto, service)
SELECT proto, service, count() FROM conn GROUP BY proto, service WITH CUBE
SELECT proto, service, count() FROM conn GROUP BY GROUPING SETS ((proto), (service), ())
SELECT toStartOfMinute(ts) AS t, count() FROM conn GROUP BY t ORDER BY t WITH FILL STEP INTERVAL 1 MINUTE LIMIT 20
SELECT t, n FROM (SELECT 1 AS t, 2 AS n) ORDER BY t WITH FILL FROM 1 TO 5 STEP 1 INTERPOLATE (n AS n + 1)
SELECT id.orig_h, uid FROM conn ORDER BY ts LIMIT 2 BY id.orig_h
SELECT id.orig_h, uid FROM conn ORDER BY ts LIMIT 1 BY id.orig_h LIMIT 3
SELECT id.orig_h, uid FROM conn ORDER BY ts LIMIT 1 OFFSET 1 BY id.orig_h, proto LIMIT 3 OFFSET 1
SELECT uid FROM conn ORDER BY orig_bytes DESC NULLS LAST LIMIT 3 WITH TIES
SELECT uid FROM conn ORDER BY ts OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY
SELECT DISTINCT ON (proto) uid FROM conn
SELECT count(*), count(DISTINCT uid), COUNT(1), SUM(orig_bytes), Max(ts) FROM conn
SELECT count() FROM dns FINAL
SELECT count() FROM conn SAMPLE 1/2
SELECT count() FROM conn PREWHERE proto = 'tcp' WHERE service != ''
FROM conn SELECT uid LIMIT 1
SELECT isIPAddressInRange(toString(id.orig_h), '::ffff:192.168.0.0/112') AS inside FROM conn WHERE inside LIMIT 1
SELECT uid FROM conn WHERE id.orig_h = toIPv6('192.168.1.3') LIMIT 1
SELECT uid FROM conn WHERE id.orig_h BETWEEN toIPv6('192.168.1.0') AND toIPv6('192.168.1.255') LIMIT 1
SELECT uid FROM conn WHERE id.orig_h IN ('::ffff:192.168.1.1', '2001:db8::1') LIMIT 1
SELECT IPv4NumToString(toUInt32(toIPv4('10.0.0.1'))), IPv6CIDRToRange(toIPv6('2001:db8::'), 32), cutIPv6(id.orig_h, 0, 0), CAST('::1' AS IPv6), '::1'::IPv6 FROM conn LIMIT 1
SELECT (1, 'a').2, tupleElement((1, 2), 1), [1, 2, 3][-1], map('a', 1)['a'], t.1.2 FROM (SELECT ((1, 2), 3) AS t)
SELECT mapKeys(headers), headers['accept'], mapContains(headers, 'x') FROM http LIMIT 1
SELECT JSONExtractInt(extra, 'a', 'b', 1), JSONExtract(extra, 'a', 'b', 'Array(UInt8)'), JSON_VALUE(extra, '$.s'), simpleJSONExtractString(extra, 's') FROM http LIMIT 1
SELECT domain(concat('http://', host)), path(uri), extractURLParameter(uri, 'x'), cutToFirstSignificantSubdomain('https://a.b.example.co.uk/') FROM http LIMIT 1
SELECT query, length(query), arrayReduce('entropy', arrayMap(x -> x, splitByString('', query))) FROM dns LIMIT 2
SELECT query, entropy(c) FROM dns ARRAY JOIN splitByString('', query) AS c GROUP BY query LIMIT 2
SELECT arrayJoin(answers) AS a, count() FROM dns GROUP BY a
SELECT uid, a, t FROM dns LEFT ARRAY JOIN answers AS a, TTLs AS t LIMIT 2
SELECT arrayZip(answers, TTLs), arrayFilter((a, t) -> t > 60, answers, TTLs), arrayExists(x -> x LIKE '203%', answers), has(answers, '1.1.1.1') FROM dns LIMIT 1
SELECT arrayFold((acc, x) -> acc + x, [1, 2, 3], toInt64(0)), arraySum([1, 2]), arrayMap(plus, [1, 2], [3, 4]), arrayMap(toString, [1])
SELECT arrayEnumerate([1, 2]), arrayCumSum([1, 2]), arrayReverseSort(x -> -x, [1, 2]), arrayPartialSort(1, [2, 1]), range(3), arrayUniq([1, 1])
SELECT sequenceMatch('(?1)(?2)')(toDateTime(ts), conn_state = 'S0', conn_state = 'SF') FROM conn GROUP BY id.orig_h LIMIT 1
SELECT windowFunnel(3600)(toDateTime(ts), service = 'dns', service = 'http') AS level, id.orig_h FROM conn GROUP BY id.orig_h LIMIT 1
SELECT topK(3)(service), argMax(uid, orig_bytes), groupUniqArray(3)(proto), sumMap(map(proto, orig_bytes)), uniqCombined(uid) FROM conn
SELECT uniqMerge(u), quantileMerge(q) FROM (SELECT uniqState(uid) AS u, quantileState(0.5)(orig_bytes) AS q FROM conn GROUP BY proto)
SELECT corr(orig_bytes, resp_bytes), simpleLinearRegression(orig_pkts, resp_pkts), stddevSamp(orig_bytes), varPop(orig_bytes), skewPop(orig_bytes) FROM conn
SELECT sum(orig_bytes) FILTER (WHERE proto = 'tcp'), minOrDefaultIf(ts, proto = 'x') FROM conn
SELECT greatCircleDistance(13.4, 52.5, 2.35, 48.86), geohashEncode(13.4, 52.5), geoToH3(13.4, 52.5, 5), pointInPolygon((1, 1), [(0, 0), (2, 0), (2, 2), (0, 2)])
SELECT multiIf(orig_bytes > 1000, 'much', orig_bytes > 10, 'some', 'none'), if(proto = 'tcp', 1, 0), CASE service WHEN 'dns' THEN 1 ELSE 2 END, proto = 'tcp' ? 1 : 0 FROM conn LIMIT 1
SELECT ifNull(duration, 0), coalesce(duration, 1.5), nullIf(proto, 'tcp'), duration IS NULL, isNull(vlan), duration <=> NULL, vlan IS NOT DISTINCT FROM NULL FROM conn LIMIT 1
SELECT uri LIKE '/a%', uri ILIKE '/A%', match(uri, '^/a/[a-z]'), extract(uri, 'x=(\\d+)'), replaceRegexpAll(uri, '\\d', 'N'), multiSearchAny(uri, ['a', 'b']), uri NOT LIKE '%z' FROM http LIMIT 1
SELECT formatReadableSize(sum(orig_bytes)), formatDateTime(now(), '%F %T'), dateDiff('hour', min(ts), max(ts)), toUnixTimestamp(min(ts)), date_trunc('hour', max(ts)) FROM conn
SELECT EXTRACT(HOUR FROM ts), SUBSTRING(uid FROM 1 FOR 2), TRIM(BOTH 'C' FROM uid), POSITION('0' IN uid), DATE_ADD(DAY, 1, ts), ts + INTERVAL '1 hour' FROM conn LIMIT 1
SELECT toDate('2026-03-01'), DATE '2026-03-01', parseDateTimeBestEffort('2026-03-01T00:00:00Z'), toDateTime64('2026-03-01 00:00:00.123', 3, 'UTC'), fromUnixTimestamp64Nano(1)
SELECT hex(MD5('x')), base64Encode('x'), sipHash64(1, 2), cityHash64(uid), bitAnd(5, 3), unhex('41') FROM conn LIMIT 1
SELECT * EXCEPT (uid) FROM conn LIMIT 1
SELECT * REPLACE (orig_bytes / 1e6 AS orig_bytes) FROM conn LIMIT 1
SELECT COLUMNS('bytes$') APPLY(sum) FROM conn
SELECT COLUMNS('bytes$') FROM conn LIMIT 1
SELECT * APPLY(toString) FROM conn LIMIT 1
SELECT (SELECT count() FROM dns) AS n, EXISTS (SELECT 1 FROM ssl), 1 IN (SELECT 1) FROM conn LIMIT 1
SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3
SELECT x FROM ((SELECT 1 AS x) UNION ALL (SELECT 2 LIMIT 1)) ORDER BY 1
SELECT number FROM numbers(5) INTERSECT SELECT number FROM numbers(3) EXCEPT SELECT 1
SELECT * FROM view(SELECT uid FROM conn LIMIT 1)
SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y'))
SELECT * FROM generateSeries(1, 5)
SELECT number FROM system.numbers LIMIT 3
SELECT 0x1F, 0b11, 1e5, 1., 1_000, -1, inf, nan, NULL, true
SELECT h.stream, `stream` FROM http AS h WHERE h.stream = 3
SELECT uid FROM conn LIMIT 2 FORMAT JSONEachRow
SELECT uid FROM conn LIMIT 2 SETTINGS max_threads = 1, session_timezone = 'Europe/Berlin' FORMAT CSVWithNames
SELECT uid FROM conn LIMIT 2 FORMAT Arrow SETTINGS output_format_arrow_low_cardinality_as_dictionary = true
SELECT format, settings FROM (SELECT 1 AS format, 2 AS settings)
SELECT 1 -- x@CR@ y 'z
SELECT 1 /* a -- b */ + 1 -- /* c
SELECT * FROM values('a DateTime64(9, ''Europe/Berlin''), b Tuple(x UInt8, y Array(Nullable(String))), c LowCardinality(String)', ('2026-03-01', (1, ['x']), 'y'))
SELECT toStartOfHour(ts, 'Europe/Berlin') AS t, count() FROM conn GROUP BY t ORDER BY t LIMIT 3
SELECT toTimeZone(max(ts), 'America/Argentina/Buenos_Aires'), max(ts) AT TIME ZONE 'Etc/GMT+1', formatDateTime(max(ts), '%F', 'UTC'), now('UTC') FROM conn
SELECT CAST(max(ts), 'DateTime(\'UTC\')'), max(ts)::DateTime64(3, 'UTC'), timestamp('2026-03-01 00:00:00.5'), toStartOfInterval(max(ts), INTERVAL 5 MINUTE) FROM conn
SELECT displayName(), version(), revision(), timezone()
