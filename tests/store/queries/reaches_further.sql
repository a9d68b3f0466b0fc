SELECT * FROM system.processes
SELECT * FROM `system`.`processes`
SELECT * FROM "system" . "processes"
SELECT * FROM system/**/./**/processes
SELECT * FROM SYSTEM.processes
SELECT * FROM (system.processes)
SELECT * FROM conn, system.processes
SELECT * FROM conn JOIN system.processes AS p ON 1 = 1
SELECT uid FROM conn WHERE uid IN system.macros
SELECT uid FROM conn WHERE uid IN (SELECT name FROM system.users)
SELECT uid FROM conn WHERE uid GLOBAL NOT IN system.macros
SELECT in(1, system.one), in('x', system.macros)
SELECT (SELECT count() FROM system.query_log)
WITH s AS (SELECT * FROM system.errors) SELECT * FROM s
SELECT * FROM view(SELECT * FROM system.disks)
SELECT 1 UNION ALL SELECT count() FROM system.server_settings
SELECT * FROM system.stack_trace
SELECT * FROM system.user_query_log
SELECT * FROM information_schema.tables
SELECT * FROM INFORMATION_SCHEMA.TABLES
SELECT * FROM Information_Schema.tables
SELECT * FROM default.x
SELECT * FROM default.`@FILE@`
SELECT * FROM DEFAULT.`@FILE@`
SELECT * FROM "@FILE@"
SELECT * FROM '@FILE@'
SELECT * FROM ('conn', '@FILE@')
SELECT * FROM `@URL@x.csv`
DESCRIBE '@FILE@'
DESCRIBE TABLE `@URL@x.csv`
SELECT uid FROM conn WHERE uid IN `@FILE@`
EXISTS `@FILE@`
SELECT * FROM other.conn
SELECT * FROM a.b.c
SELECT uid FROM conn WHERE uid IN other.x
DESCRIBE system.processes
DESCRIBE TABLE other.x
SHOW CREATE TABLE system.users
SHOW TABLES FROM other
SHOW COLUMNS FROM users FROM system
EXISTS system.users
EXISTS DATABASE other
SHOW PROCESSLIST
SHOW GRANTS
SHOW USERS
SHOW CLUSTERS
SHOW ENGINES
SHOW DICTIONARIES
SHOW CREATE USER x
SHOW CREATE DATABASE headwater
SHOW INDEXES FROM system.users
SHOW `TABLES FROM system`
SHOW FILESYSTEM CACHES
SHOW SETTING readonly
SELECT * FROM {x:Identifier}
SELECT {x:Identifier} FROM conn
SELECT * FROM {d:Identifier}.{t:Identifier}
SELECT * FROM merge('system', '.*')
SELECT * FROM merge(REGEXP('system'), 'one')
SELECT * FROM loop(system.one)
SELECT * FROM dictionary('x')
SELECT * FROM executable('x', 'CSV', 'a String')
SELECT * FROM input('a UInt8')
SELECT * FROM file('@FILE@', 'LineAsString')
SELECT * FROM `file`('@FILE@', LineAsString)
DESCRIBE file('@FILE@')
SELECT * FROM fileCluster('x', '@FILE@')
SELECT * FROM filesystem('/')
SELECT * FROM sqlite('@FILE@', 'x')
SELECT * FROM Python(x)
SELECT * FROM python(os)
SELECT * FROM eval('SELECT 1')
SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))
SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x UInt8'))
SELECT * FROM (EXPLAIN SELECT 1)
SELECT * FROM mergeTreeIndex('headwater', 'conn')
SELECT * FROM format('CSV', '1')
SELECT * FROM generateRandom('a UInt8') LIMIT 1
SELECT * FROM fuzzQuery('SELECT 1') LIMIT 1
SELECT * FROM other.view(SELECT 1)
SELECT * FROM conn STREAM
SELECT getSetting('max_memory_usage')
SELECT getServerSetting('path')
SELECT getMacro('x'), FQDN(), serverUUID(), uptime(), tcpPort(), getServerPort('tcp_port')
SELECT hostName()
SELECT HOSTNAME()
SELECT getOSKernelVersion()
SELECT filesystemAvailable(), filesystemCapacity()
SELECT sleep(3)
SELECT sleepEachRow(1) FROM numbers(3)
SELECT arrayMap(sleepEachRow, [1])
SELECT throwIf(1)
SELECT logTrace('x')
SELECT addressToLine(1)
SELECT showCertificate()
SELECT catboostEvaluate('x', 1)
SELECT dictGet('x', 'y', 1)
SELECT dictGetOrDefault(x, 'y', 1, 2)
SELECT joinGet('x', 'y', 1)
SELECT hasColumnInTable('system', 'users', 'name')
SELECT initializeAggregation('x', 1)
SELECT arrayReduce(concat('s', 'um'), [1])
SELECT formatRow('Template', 1)
SELECT chdb('x')
SELECT currentRoles()
SELECT transactionID()
SELECT getClientHTTPHeader('x')
SELECT x.system.file('@FILE@')
SELECT headwater.file('@FILE@')
SELECT * FROM conn SETTINGS readonly = 0
SELECT 1 SETTINGS max_memory_usage = 0
SELECT 1 SETTINGS `max_memory_usage` = 0
SELECT 1 SETTINGS max_execution_time = 0
SELECT 1 SETTINGS max_execution_time = 1e9
SELECT 1 SETTINGS max_threads = -1
SELECT 1 SETTINGS max_threads = 1, allow_introspection_functions = 1
SELECT 1 SETTINGS additional_table_filters = {'conn': 'file(''@FILE@'') = '''''}
SELECT 1 SETTINGS additional_result_filter = 'file(''@FILE@'') != '''''
SELECT 1 SETTINGS format_template_row = '@FILE@'
SELECT 1 SETTINGS dialect = 'kusto'
SELECT 1 SETTINGS param_x = 1
SELECT 1 SETTINGS max_threads
SELECT 1 SETTINGS max_threads = DEFAULT
SELECT 1 SETTINGS max_threads = 1 max_block_size = 1
SELECT 1 SETTINGS max_threads = 1,
SELECT 1 SETTINGS a.b = 1
SELECT (SELECT 1 SETTINGS max_memory_usage = 0)
SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)
SELECT 1 SETTINGS max_threads = 1 UNION ALL SELECT 2
SELECT 1 SETTINGS max_threads = 1 SETTINGS max_memory_usage = 0
SELECT * FROM view(SELECT 1 SETTINGS max_memory_usage)
EXPLAIN max_memory_usage = 0 SELECT 1
SELECT 1 FORMAT Template
SELECT 1 FORMAT CustomSeparated
SELECT 1 FORMAT Protobuf
SELECT 1 FORMAT CapnProto
SELECT 1 FORMAT MySQLWire
SELECT 1 FORMAT JSON FORMAT CSV
SELECT 1 FORMAT JSON x
SELECT uid FROM conn WHERE uid IN (system.macros)
SELECT uid FROM conn WHERE uid NOT IN ((other.x))
SELECT uid FROM conn WHERE uid IN (other.x)
SHOW CREATE USER
SHOW CREATE QUOTA
SHOW CREATE SETTINGS PROFILE
SELECT dictGet('a' || 'sn', 'n', 1)
SELECT arrayReduce('sum' || 'x', [1])
SELECT arrayReduce('sum'::String, [1])
SELECT system.processes.query FROM conn
WITH file('@FILE@') AS (SELECT 1) SELECT 1
WITH file(1) AS (SELECT 1) SELECT 1
SELECT * FROM values('a String DEFAULT 1', 'x')
SELECT * FROM values('a String EPHEMERAL', 'x')
SELECT * FROM values('a EPHEMERAL, b String', 'x')
SELECT * FROM values({s:String}, 'x')
SELECT * FROM values(('a String'), 'x')
SELECT * FROM null('a String ALIAS file(''@FILE@'')')
SELECT convertCharset('x', 'a', 'b')
SELECT arrayLevenshteinDistance(range(100000), range(100000))
SELECT b FROM values(concat('a String, b String ALIAS file(''@FILE@', ''')'), 'x')
SELECT b FROM values('a String, b String A' || 'LIAS file(''@FILE@'')', 'x')
SELECT * FROM values('a Tuple(b file(''x''))', 'x')
SELECT toTimeZone(now(), '@FILE@')
SELECT toTimeZone(now(), 'file:@FILE@')
SELECT toTimeZone(now(), '../../..@FILE@')
SELECT toTimeZone(now(), concat('@FILE@', ''))
SELECT toTimeZone(now(), (SELECT '@FILE@'))
SELECT toTimeZone(now(), {zone:String})
WITH '@FILE@' AS z SELECT toStartOfHour(ts, z) FROM conn
SELECT now() AT TIME ZONE '@FILE@'
SELECT now('@FILE@'), NOW('@FILE@')
SELECT toDateTime('2026-03-01 00:00:00', '@FILE@')
SELECT formatDateTime(ts, '%F', '@FILE@') FROM conn
SELECT dateDiff('day', ts, ts, '@FILE@') FROM conn
SELECT makeDateTime64(1970, 1, 1, 0, 0, 0, 0, 3, '@FILE@')
SELECT CAST(ts AS DateTime('@FILE@')) FROM conn
SELECT ts::DateTime64(3, '@FILE@') FROM conn
SELECT 1::TIMESTAMP('@FILE@')
SELECT CAST(ts, 'DateTime(\'@FILE@\')') FROM conn
SELECT CAST(ts, concat('DateTime(''', '@FILE@'')')) FROM conn
SELECT '{}'::JSON(a DateTime('@FILE@'))
SELECT JSONExtract('{}', 'a', 'DateTime(\'@FILE@\')')
SELECT defaultValueOfTypeName('DateTime(\'@FILE@\')')
SELECT {x:DateTime('@FILE@')}
SELECT * FROM values('a DateTime(''@FILE@'')', '2026-03-01')
SELECT 1 SETTINGS session_timezone = '@FILE@'
SELECT finalizeAggregation(CAST(unhex('ff'), 'AggregateFunction(groupBitmap, UInt64)'))
SELECT reinterpret('x', 'AggregateFunction(groupBitmap, UInt64)')
SELECT CAST('x', 'Aggregate' || 'Function(groupBitmap, UInt64)')
