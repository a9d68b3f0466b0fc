SELECT file('@FILE@')
SELECT `file`('@FILE@')
SELECT "file"('@FILE@')
SELECT file ('@FILE@')
SELECT file/**/('@FILE@')
SELECT file -- x@LF@('@FILE@')
SELECT 1, (SELECT file('@FILE@'))
SELECT reverse(reverse(file('@FILE@')))
SELECT arrayMap(x -> file('@FILE@'), [1])
SELECT arrayMap(file, ['@FILE@'])
SELECT arrayMap((file), ['@FILE@'])
SELECT arrayMap(((file)), ['@FILE@'])
SELECT arrayMap(file AS f, ['@FILE@'])
SELECT arrayMap(`file`, ['@FILE@'])
SELECT arrayMap("file", ['@FILE@'])
SELECT arrayMin(file, ['@FILE@'])
SELECT arrayMax(file, ['@FILE@'])
SELECT arrayMap(/* x -> x */ file, ['@FILE@'])
SELECT arrayMap(x -> arrayMap(file, ['@FILE@']), [1])
SELECT * APPLY(file) FROM (SELECT '@FILE@' AS a)
SELECT * APPLY file FROM (SELECT '@FILE@' AS a)
SELECT * APPLY(`file`) FROM (SELECT '@FILE@' AS a)
SELECT * APPLY(x -> file('@FILE@')) FROM (SELECT 1 AS a)
SELECT COLUMNS('a') APPLY(file) FROM (SELECT '@FILE@' AS a)
SELECT * REPLACE (file('@FILE@') AS a) FROM (SELECT 1 AS a)
WITH file('@FILE@') AS x SELECT x
WITH x -> file(x) AS f SELECT f('@FILE@')
WITH x -> file('@FILE@') AS f SELECT arrayMap(f, [1])
WITH RECURSIVE t AS (SELECT 1 AS n, file('@FILE@') AS c) SELECT c FROM t
SELECT x FROM (SELECT file('@FILE@') AS x)
SELECT count(), any(file('@FILE@')) FROM conn
SELECT argMax(file('@FILE@'), 1)
SELECT if(1, file('@FILE@'), '')
SELECT 1 = 1 ? file('@FILE@') : ''
SELECT CASE WHEN 1 THEN file('@FILE@') END
SELECT file('@FILE@') || 'x'
SELECT [file('@FILE@')][1]
SELECT (file('@FILE@'), 1).1
SELECT map('a', file('@FILE@'))
SELECT file('@FILE@')::String
SELECT CAST(file('@FILE@') AS String)
SELECT DISTINCT file('@FILE@')
SELECT 1, file('@FILE@') UNION ALL SELECT 2, 'x'
(SELECT 'x') UNION ALL (SELECT file('@FILE@'))
SELECT a FROM (SELECT 1 AS k, 'x' AS a UNION ALL SELECT 2, file('@FILE@')) ORDER BY k DESC LIMIT 1 BY k
SELECT first_value(file('@FILE@')) OVER () FROM numbers(1)
SELECT file('@FILE@') AS f FROM numbers(2) LIMIT 1 BY number LIMIT 1
FROM numbers(1) SELECT file('@FILE@')
SELECT * FROM view(SELECT file('@FILE@'))
SELECT arrayJoin([file('@FILE@')])
SELECT x FROM numbers(1) ARRAY JOIN [file('@FILE@')] AS x
SELECT number, c FROM numbers(1) AS n JOIN (SELECT 0 AS number, file('@FILE@') AS c) AS m USING number
EXPLAIN SELECT file('@FILE@')
EXPLAIN PLAN actions = 1 SELECT file('@FILE@')
SELECT file('@FILE@') FORMAT JSON
SELECT 1; SELECT file('@FILE@')
SELECT 1;SELECT file('@FILE@');
SELECT file(concat('@FILE@', ''))
SELECT file('@FILE@', 'x')
SELECT hex(file('@FILE@')), file('@FILE@')
SELECT file($$@FILE@$$)
SELECT file($x$@FILE@$x$)
SELECT '$$', file('@FILE@'), '$$'
SELECT '\\', file('@FILE@') --'
SELECT '''', file('@FILE@') --'
SELECT '\'', file('@FILE@') --'
SELECT 1 /* /* -- */ ' */ , file('@FILE@') -- '
SELECT 'a', /* ' */ file('@FILE@') /* ' */
SELECT 1 AS `a--b`, file('@FILE@')
SELECT 1 AS `a/*b`, file('@FILE@') AS `c*/d`
SELECT 1 AS "a'b", file('@FILE@') AS "c'd"
SELECT 1 --x@CR@, 2@LF@, file('@FILE@')
SELECT 1 # x'@LF@, file('@FILE@') -- '
SELECT 1 // x'@LF@, file('@FILE@') -- '
SELECT ‘x’, file('@FILE@')
SELECT file(‘@FILE@’)
SELECT@NBSP@1, file('@FILE@')
SELECT 1.,file('@FILE@')
SELECT 0, .5,file('@FILE@')
SELECT x'41',file('@FILE@')
SELECT 1e1,file('@FILE@')
SELECT @@version, file('@FILE@')
SELECT EXTRACT(HOUR FROM now()), file('@FILE@')
SELECT INTERVAL 1 DAY, file('@FILE@')
SELECT COLUMNS('x'), file('@FILE@') FROM (SELECT 1 AS x)
SELECT file('@FILE@') FROM conn PREWHERE 1 LIMIT 1
SELECT transform(1, [1], [file('@FILE@')], '')
SELECT formatRow('TSV', file('@FILE@'))
SELECT arrayReduce('any', [file('@FILE@')])
SELECT arrayFold((a, x) -> file('@FILE@'), [1], '')
SELECT mapApply((k, v) -> (k, file('@FILE@')), map(1, 'x'))
SELECT b FROM values('a String, b String ALIAS file(''@FILE@'')', 'x')
SELECT b FROM values('a String, b ALIAS (file(''@FILE@''))', 'x')
SELECT b FROM values('a String, b ALIAS(file(''@FILE@''))', 'x')
SELECT b FROM VALUES('a String, b String ALIAS file(''@FILE@'')', 'x')
SELECT b FROM `values`('a String, b String ALIAS file(''@FILE@'')', 'x')
SELECT b FROM values('a String, b String ALIAS file(\'@FILE@\')', 'x')
SELECT b FROM values('a String, b String ALIAS arrayMap(file, [''@FILE@''])[1]', 'x')
SELECT b FROM values('a String, b String /* */ ALIAS file(''@FILE@'')', 'x')
SELECT b FROM (SELECT a, b FROM values('a String, b String ALIAS file(''@FILE@'')', 'x'))
