"""The same questions in three dialects. `recent` and `day` are when they begin, in seconds since 1970."""

CLICKHOUSE = {
    "by second": """
        SELECT toStartOfSecond(ts) AS second, proto, count() AS flows, sum(orig_bytes + resp_bytes) AS octets FROM conn
        WHERE ts >= fromUnixTimestamp({recent:UInt32}) GROUP BY ALL ORDER BY second""",
    "talkers": """
        SELECT id.orig_h, sum(orig_bytes + resp_bytes) AS octets, uniqExact(id.resp_h) AS peers FROM conn
        WHERE ts >= fromUnixTimestamp({day:UInt32}) GROUP BY 1 ORDER BY octets DESC LIMIT 20""",
    "beacons": """
        SELECT id.orig_h, id.resp_h, id.resp_p, length(gaps) AS n, arrayReduce('stddevPop', gaps) / arrayAvg(gaps) AS unevenness
        FROM (
            SELECT id.orig_h, id.resp_h, id.resp_p,
                arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp64Milli(ts))))) AS gaps
            FROM conn WHERE ts >= fromUnixTimestamp({day:UInt32}) GROUP BY ALL HAVING count() > 20)
        WHERE unevenness < 0.35 ORDER BY unevenness""",
}
"""The fourth is what `headwater flows` makes."""

DUCKDB = {
    "by second": """
        SELECT date_trunc('second', ts::TIMESTAMPTZ) AS second, proto, count(*) AS flows, sum(orig_bytes + resp_bytes) AS octets FROM conn
        WHERE ts >= to_timestamp($recent::BIGINT)::TIMESTAMPTZ_NS GROUP BY ALL ORDER BY second""",
    "talkers": """
        SELECT "id.orig_h", sum(orig_bytes + resp_bytes) AS octets, count(DISTINCT "id.resp_h") AS peers FROM conn
        WHERE ts >= to_timestamp($day::BIGINT)::TIMESTAMPTZ_NS GROUP BY 1 ORDER BY octets DESC LIMIT 20""",
    "beacons": """
        WITH pairs AS (
            SELECT "id.orig_h" AS a, "id.resp_h" AS b, "id.resp_p" AS p FROM conn WHERE ts >= to_timestamp($day::BIGINT)::TIMESTAMPTZ_NS
            GROUP BY ALL HAVING count(*) > 20),
        gaps AS (
            SELECT a, b, p, epoch_ms(ts::TIMESTAMPTZ) - lag(epoch_ms(ts::TIMESTAMPTZ)) OVER (PARTITION BY a, b, p ORDER BY ts) AS gap
            FROM conn JOIN pairs ON "id.orig_h" = a AND "id.resp_h" = b AND "id.resp_p" = p
            WHERE ts >= to_timestamp($day::BIGINT)::TIMESTAMPTZ_NS)
        SELECT a, b, p, count(gap) AS n, stddev_pop(gap) / avg(gap) AS unevenness FROM gaps
        GROUP BY ALL HAVING unevenness < 0.35 ORDER BY unevenness""",
    "address": """
        SELECT * FROM conn WHERE "id.orig_h" = $address OR "id.resp_h" = $address ORDER BY ts DESC LIMIT 100""",
}

MARIADB_TABLE = """
CREATE DATABASE bench; USE bench;
CREATE TABLE conn (ts DATETIME(6) NOT NULL, uid VARCHAR(20), `id.orig_h` VARBINARY(16), `id.orig_p` SMALLINT UNSIGNED,
    `id.resp_h` VARBINARY(16), `id.resp_p` SMALLINT UNSIGNED, proto VARCHAR(20), duration DOUBLE,
    orig_bytes BIGINT UNSIGNED, resp_bytes BIGINT UNSIGNED, conn_state VARCHAR(6), orig_pkts BIGINT UNSIGNED, resp_pkts BIGINT UNSIGNED,
    INDEX (ts), INDEX (`id.orig_h`, ts), INDEX (`id.resp_h`, ts)) ENGINE = InnoDB"""

_SHOWN = """SELECT ts, uid, INET6_NTOA(`id.orig_h`), `id.orig_p`, INET6_NTOA(`id.resp_h`), `id.resp_p`, proto, duration, orig_bytes,
        resp_bytes, conn_state, orig_pkts, resp_pkts FROM conn"""
MARIADB = {
    "by second": """
        SELECT DATE_FORMAT(ts, '%Y-%m-%d %H:%i:%s') AS second, proto, count(*), sum(orig_bytes + resp_bytes) FROM conn
        WHERE ts >= FROM_UNIXTIME($recent) GROUP BY 1, 2 ORDER BY 1""",
    "talkers": """
        SELECT INET6_NTOA(`id.orig_h`), sum(orig_bytes + resp_bytes) AS octets, count(DISTINCT `id.resp_h`) FROM conn
        WHERE ts >= FROM_UNIXTIME($day) GROUP BY `id.orig_h` ORDER BY octets DESC LIMIT 20""",
    "beacons": """
        SELECT INET6_NTOA(a), INET6_NTOA(b), p, count(gap), stddev_pop(gap) / avg(gap) AS unevenness FROM (
            SELECT `id.orig_h` AS a, `id.resp_h` AS b, `id.resp_p` AS p, UNIX_TIMESTAMP(ts)
                - lag(UNIX_TIMESTAMP(ts)) OVER (PARTITION BY `id.orig_h`, `id.resp_h`, `id.resp_p` ORDER BY ts) AS gap
            FROM conn WHERE ts >= FROM_UNIXTIME($day)) AS gaps
        WHERE gap IS NOT NULL GROUP BY a, b, p HAVING count(gap) >= 20 AND unevenness < 0.35 ORDER BY unevenness""",
    "address": f"""
        ({_SHOWN} WHERE `id.orig_h` = INET6_ATON($address) ORDER BY ts DESC LIMIT 100)
        UNION ({_SHOWN} WHERE `id.resp_h` = INET6_ATON($address) ORDER BY ts DESC LIMIT 100) ORDER BY ts DESC LIMIT 100""",
}
