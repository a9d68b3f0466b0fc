"""Which functions of the engine a reader may call: what computes from its arguments, and nothing else.

Chosen from `system.functions` of ClickHouse 26.9 (tests/store/test_wall_engine.py holds the list against it). Left out is whatever reads
a file (convertCharset does), opens a socket, waits, raises, logs, tells about the host or other readers, goes through a dictionary or a
joined table, computes for long without looking at the clock (arrayLevenshteinDistance), or is no longer meant to be used. No name here
is that of a table function that does such things, so that it does not matter where a name stands.

A word with braces stands for several names: `to{Int8,Int16}{,OrNull}` is toInt8, toInt8OrNull, toInt16 and toInt16OrNull.
"""

import re
from itertools import product


def names(words: str) -> frozenset[str]:
    """The words, each with its braces written out."""
    found: set[str] = set()
    for word in words.split():
        parts = re.split(r"\{(.*?)\}", word)  # what is in braces is at the odd places
        found.update(map("".join, product(*(part.split(",") if at % 2 else [part] for at, part in enumerate(parts)))))
    return frozenset(found)


_NUMBER = "{UInt8,UInt16,UInt32,UInt64,UInt128,UInt256,Int8,Int16,Int32,Int64,Int128,Int256,Float32,Float64}"
_PARSED = "{,BestEffort,BestEffortUS,InJodaSyntax}{,OrNull,OrZero}"
_OR = "{,OrNull,OrZero,OrDefault}"
_PART = "{Nanosecond,Microsecond,Millisecond,Second,Minute,Hour,Day,Week,Month,Quarter,Year}"

_EXACT = names(
    # comparison, choice
    """
    and or xor multiIf clamp equals notEquals less lessOrEquals greater greaterOrEquals isDistinctFrom isNotDistinctFrom
    assumeNotNull isNotNull isNullable isZeroOrNull toNullable transform
    """
    # arithmetic
    """
    plus minus multiply divide divideDecimal multiplyDecimal divideOrNull intDiv intDivOrNull intDivOrZero modulo moduloOrNull
    moduloOrZero negate gcd lcm isFinite isInfinite isNaN ifNotFinite roundAge roundBankers roundDown roundDuration roundToExp2
    acosh asinh atanh cbrt cosh sinh e erf erfc exp2 exp10 intExp2 intExp10 lgamma tgamma log1p sigmoid widthBucket isPrime
    cosineDistance {L1,L2,L2Squared,Linf,Lp}{Distance,Norm} {L1,L2,Linf,Lp}Normalize proportionsZTest
    bitAnd bitOr bitXor bitNot bitCount bitSlice bitTest bitTest{All,Any} bit{Shift,Rotate}{Left,Right} {bit,byte}HammingDistance
    bitmap{And,Or,Xor,Andnot}{,Cardinality} bitmap{Build,Cardinality,Contains,HasAll,HasAny,Max,Min,ToArray,Transform}
    bitmapSubset{InRange,Limit} subBitmap
    """
    # random numbers, and identifiers of which nothing is kept
    """
    rand{32,64,Bernoulli,Binomial,Canonical,Constant,Exponential,LogNormal,Normal,Poisson,Uniform}
    randomString randomFixedString randomPrintableASCII generateUUID{v4,v7} generateSnowflakeID
    snowflakeIDToDateTime{,64} dateTimeToSnowflakeID dateTime64ToSnowflakeID UUIDv7ToDateTime UUIDStringToNum UUIDNumToString UUIDToNum
    """
    # types
    f"""
    accurateCast{{,OrNull,OrDefault}} reinterpret reinterpretAs{_NUMBER} reinterpretAs{{Date,DateTime,FixedString,String,UUID}}
    to{_NUMBER}{_OR} to{{Date,Date32,DateTime,DateTime64,UUID,IPv4,IPv6}}{_OR} toDecimal{{32,64,128,256}}{_OR}
    toBFloat16{{,OrNull,OrZero}} toBool toDateTime32 toFixedString toString toStringCutToZero toTime{{,64}}{{,OrNull,OrZero}}
    toLowCardinality toInterval toInterval{_PART} parseDateTime{{,64}}{_PARSED} parseDateTime32BestEffort{{,OrNull,OrZero}}
    fromUnixTimestamp64{{Second,Milli,Micro,Nano}} toUnixTimestamp64{{Second,Milli,Micro,Nano}}
    toTypeName toColumnTypeName defaultValueOf{{ArgumentType,TypeName}} variantElement variantType dynamicElement dynamicType
    """
    # dates and times
    f"""
    add{_PART}s subtract{_PART}s addInterval subtractInterval addTupleOfIntervals subtractTupleOfIntervals
    change{{Year,Month,Day,Hour,Minute,Second}} DATE_DIFF date_diff TIMESTAMP_DIFF timestampDiff timestamp_diff dateTrunc
    formatDateTime{{,InJodaSyntax}} fromUnixTimestamp{{,InJodaSyntax}} fromUTCTimestamp toUTCTimestamp fromDaysSinceYearZero{{,32}}
    toDaysSinceYearZero toModifiedJulianDay{{,OrNull}} fromModifiedJulianDay{{,OrNull}} nowInBlock{{,64}} yesterday serverTime{{z,Z}}one
    time{{z,Z}}one{{Of,Offset}} toTime{{z,Z}}one timeSlot timeSlots toUnixTimestamp
    to{{Year,Quarter,Month,Week,Hour,Minute,Second,Millisecond,Microsecond,Nanosecond}} toMonday toISO{{Week,Year}} toYearWeek
    toDayOf{{Week,Month,Year}} toDaysInMonth toLastDayOf{{Week,Month}} toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss
    toRelative{{Second,Minute,Hour,Day,Week,Month,Quarter,Year}}Num toMonthNumSinceEpoch toYearNumSinceEpoch
    toStartOf{_PART} toStartOf{{FiveMinute,FiveMinutes,TenMinutes,FifteenMinutes,ISOYear,Interval}} toTimeWithFixedDate
    hop hop{{Start,End}} tumble tumble{{Start,End}} parseISO8601Duration parseTimeDelta
    """
    # texts
    """
    lengthUTF8 {lower,upper,reverse,left,right,initcap,caseFold}UTF8 {left,right}Pad{,UTF8} ltrim rtrim trim trim{Left,Right,Both}
    {substring,substringIndex,translate,overlay}UTF8 translate substringIndex positionCaseInsensitive regexpExtract
    concatAssumeInjective concatWithSeparator firstLine basename
    startsWith{,UTF8,CaseInsensitive,CaseInsensitiveUTF8} endsWith{,UTF8,CaseInsensitive,CaseInsensitiveUTF8}
    appendTrailingCharIfAbsent compareSubstrings  printf toValidUTF8 isValidUTF8 isValidASCII isASCII removeDiacriticsUTF8
    normalizeUTF8{NFC,NFD,NFKC,NFKD} {decodeHTML,decodeXML,encodeXML}Component extractTextFromHTML
    stringBytes{Entropy,Uniq} stringJaccardIndex{,UTF8} jaroSimilarity jaroWinklerSimilarity
    editDistance{,UTF8} levenshteinDistance{,UTF8} damerauLevenshteinDistance
    like notLike ilike notILike match notMatch matchCaseInsensitive extract extractAll extractAllGroups{,Horizontal,Vertical} extractGroups
    regexpQuoteMeta replaceAll replaceOne replaceRegexpAll replaceRegexpOne countMatches{,CaseInsensitive}
    countSubstringsCaseInsensitive{,UTF8} position{UTF8,CaseInsensitiveUTF8} hasToken{,OrNull} hasAllTokens hasAnyTokens hasPhrase
    hasSubsequence{,UTF8,CaseInsensitive,CaseInsensitiveUTF8} multiMatch{Any,AnyIndex,AllIndices} multiFuzzyMatch{Any,AnyIndex,AllIndices}
    multiSearch{Any,AllPositions,FirstIndex,FirstPosition}{,UTF8,CaseInsensitive,CaseInsensitiveUTF8}
    ngramDistance{,UTF8,CaseInsensitive,CaseInsensitiveUTF8} ngramSearch{,UTF8,CaseInsensitive,CaseInsensitiveUTF8}
    splitBy{Char,String,Regexp,Whitespace,NonAlpha,Alpha} alphaTokens ngrams tokens arrayStringConcat reverseBySeparator
    formatReadable{Size,Quantity,DecimalSize,TimeDelta} parseReadableSize{,OrNull,OrZero}
    """
    # encodings, hashes
    """
    base{32,58,64}{Encode,Decode} tryBase{32,58,64}Decode base64URL{Encode,Decode} tryBase64URLDecode conv
    bitPositionsToArray bitmaskTo{Array,List} morton{Encode,Decode} hilbert{Encode,Decode}
    MD4 MD5 SHA1 SHA224 SHA256 SHA384 SHA512 RIPEMD160 halfMD5 keccak256 cityHash64 farmHash64 farmFingerprint64 metroHash64 wyHash64
    sipHash{64,128}{,Keyed} xxHash{32,64} xxh3 murmurHash2_{32,64} murmurHash3_{32,64,128} intHash{32,64} javaHash hiveHash URLHash
    jumpConsistentHash ngramSimHash wordShingleSimHash
    """
    # URLs, addresses
    """
    URLHierarchy URLPathHierarchy domain{,RFC,WithoutWWW,WithoutWWWRFC} topLevelDomain{,RFC} firstSignificantSubdomain{,RFC}
    cutToFirstSignificantSubdomain{,RFC,WithWWW,WithWWWRFC} port{,RFC} protocol path pathFull fragment netloc queryString
    queryStringAndFragment cutFragment cutQueryString cutQueryStringAndFragment cutURLParameter cutWWW extractURLParameter{,s,Names}
    {encode,decode}URL{,Form}Component
    IPv4NumToString{,ClassC} IPv6NumToString {IPv4,IPv6}StringToNum{,OrNull,OrDefault} {IPv4,IPv6}CIDRToRange IPv4ToIPv6
    cutIPv6 isIPAddressInRange is{IPv4,IPv6}String MACNumToString MACStringToNum MACStringToOUI
    """
    # JSON
    """
    JSONHas JSONLength JSONKey JSONType JSONExtract{,String,Bool,Int,UInt,Float,Raw,ArrayRaw,Keys,KeysAndValues,KeysAndValuesRaw}
    JSONAllPaths{,WithTypes} JSONDynamicPaths{,WithTypes} JSONArrayLength JSON_EXISTS JSON_QUERY JSON_VALUE isValidJSON toJSONString
    simpleJSON{Has,ExtractString,ExtractBool,ExtractInt,ExtractUInt,ExtractFloat,ExtractRaw}
    visitParam{Has,ExtractString,ExtractBool,ExtractInt,ExtractUInt,ExtractFloat,ExtractRaw}
    """
    # arrays, tuples, maps
    """
    array arrayJoin range empty notEmpty has hasAll hasAny hasSubstr indexOf indexOfAssumeSorted countEqual
    array{Map,Filter,Fold,Exists,All,Count,Fill,ReverseFill,Split,ReverseSplit,Compact} array{First,Last}{,Index,OrNull}
    array{Sum,Avg,Min,Max,Product,CumSum,CumSumNonNegative,Difference} array{Sort,ReverseSort,PartialSort,PartialReverseSort}
    array{TopK,BottomK,Concat,Distinct,DotProduct,Element,ElementOrNull,Except,Intersect,SymmetricDifference,Union,JaccardIndex,Uniq}
    arrayEnumerate{,Dense,Uniq,DenseRanked,UniqRanked} arrayAutocorrelation
    array{PopBack,PopFront,PushBack,PushFront,RandomSample,Remove,Resize,Reverse,RotateLeft,RotateRight,ShiftLeft,ShiftRight,Shingles}
    array{Shuffle,Slice,Transpose,WithConstant,Zip,ZipUnaligned,Flatten,ROCAUC,AUCPR} emptyArray{String,UInt8,UInt64,Int64,Float64,DateTime}
    tuple
    tuple{Concat,Divide,DivideByNumber,Element,HammingDistance,Minus,Modulo,Multiply,MultiplyByNumber,Names,Negate,Plus,ToNameValuePairs}
    tupleNames dotProduct scalarProduct flattenTuple
    map map{Add,Subtract,Apply,Concat,Filter,FromArrays,Keys,Values,All,Exists,Update,PopulateSeries}
    mapContains{,Key,KeyLike,Value,ValueLike}
    map{ExtractKeyLike,ExtractValueLike,Sort,ReverseSort,PartialSort,PartialReverseSort} extractKeyValuePairs{,WithEscaping}
    """
    # places on earth
    """
    greatCircle{Angle,Distance} geoDistance geohash{Encode,Decode,esInBox} pointIn{Polygon,Ellipses} geoToH3 h3ToGeo h3ToString stringToH3
    h3GetResolution h3ToParent h3kRing h3Distance h3IsValid
    """
    # what is left
    """
    bar byteSize countDigits currentDatabase currentUser digits displayName errorCodeToName finalizeAggregation getSubcolumn identity
    ignore isConstant
    isDecimalOverflow materialize minSampleSizeContinuous minSampleSizeConversion rowNumberInBlock rowNumberInAllBlocks revision
    seriesDecomposeSTL seriesOutliersDetectTukey visibleWidth
    """
)

# These the engine knows in any case, because SQL or MySQL has them.
_ANY_CASE = names(
    """
    if not isNull ifNull nullIf coalesce firstNonDefault greatest least
    abs acos asin atan atan2 avg2 byteSwap ceil ceiling cos degrees exp factorial floor hypot ln log log2 log10 max2 midpoint min2 mod
    pi pmod positiveModulo pow power radians round sign sin sqr sqrt tan tanh trunc truncate rand
    cast date str_to_date to_unixtime toDecimalString addDate age curdate current_date current_timestamp localtime localtimestamp
    date_bin date_format date_trunc dateDiff dateName day dayOfMonth dayOfWeek dayOfYear from_days from_unixtime from_utc_timestamp
    hour last_day makeDate{,32} makeDateTime{,64} {micro,milli,nano}second minute month monthName now now64 quarter second subDate
    time_bucket timeDiff timestamp timezone to_days to_utc_timestamp today utc_timestamp utctimestamp week year yearweek
    overlay hex unhex bin unbin char array_to_string ascii cardinality character_length char_length concat concat_ws countSubstrings
    crc32 crc64 format_bytes
    from_base64 to_base64 initcap instr lcase ucase left right length locate lower upper lpad rpad mid octet_length position
    regexp_extract regexp_replace regexp_substr repeat replace reverse soundex space substr
    substring substring_index inet_aton inet_ntoa inet6_aton inet6_ntoa
    json_array_length array_remove flatten unnest
    version current_database database schema current_user user session_user
    """
)

_AGGREGATES = names(
    """
    any{,_respect_nulls} anyHeavy anyLast{,_respect_nulls} argMax argMin argAndMax argAndMin cume_dist avgWeighted boundingRatio
    categoricalInformationValue contingency corr{Stable,Matrix} covar{Pop,Samp}{,Stable,Matrix} cramersV{,BiasCorrected} theilsU
    deltaSum{,Timestamp} distinctDynamicTypes distinctJSONPaths{,AndTypes} entropy exponentialMovingAverage
    exponentialTimeDecayed{Avg,Count,Max,Sum} gini groupArray{,InsertAt,Intersect,Last,MovingAvg,MovingSum,Sample,Sorted}
    groupBit{And,Or,Xor} groupBitmap{,And,Or,Xor} groupConcat groupUniqArray histogram intervalLengthSum
    mannWhitneyUTest studentTTest{,OneSample} welchTTest meanZTest rankCorr
    kurtPop kurtSamp skewPop skewSamp largestTriangleThreeBuckets lttb maxIntersections{,Position} {max,min,sum}MappedArrays
    quantile{,s}{,BFloat16,DD,Deterministic,Exact,ExactExclusive,ExactInclusive,ExactHigh,ExactLow,ExactWeighted,GK,TDigest,Timing}
    quantile{,s}{BFloat16Weighted,ExactWeightedInterpolated,InterpolatedWeighted,TDigestWeighted,TimingWeighted}
    median{,BFloat16,DD,Deterministic,Exact,ExactHigh,ExactLow,ExactWeighted,GK,TDigest,TDigestWeighted,Timing,TimingWeighted}
    simpleLinearRegression retention sequence{Count,Match,MatchEvents,NextNode}
    windowFunnel singleValueOrNull sparkbar stddev{Pop,Samp}{,Stable} var{Pop,Samp}{,Stable} sumCount sumKahan
    sumMapFiltered{,WithOverflow} sumMapWithOverflow sumWithOverflow topK topKWeighted uniq{,Combined,Combined64,Exact,HLL12,UpTo}
    denseRank percentRank lagInFrame leadInFrame nonNegativeDerivative
    """
)
_AGGREGATES_ANY_CASE = names(
    """
    count sum avg min max stddev std var_pop var_samp stddev_pop stddev_samp covar_pop covar_samp dense_rank percent_rank
    bit_and bit_or bit_xor corr regr_{avgx,avgy,count,intercept,r2,slope,sxx,sxy,syy} kolmogorovSmirnovTest analysisOfVariance
    row_number rank ntile nth_value lag lead {any,first,last}_value {first,last}_value_respect_nulls max_by min_by
    array_agg string_agg group_concat approx_top_{k,count,sum}
    """
)
_COMBINATOR = re.compile(
    r"(.+)(?:If|Array|Map|Distinct|OrDefault|OrNull|ForEach|Resample|State|SimpleState|Merge|MergeState|ArgMin|ArgMax|Tuple)"
)

TABLE_FUNCTIONS = names("numbers numbers_mt zeros zeros_mt generateSeries generate_series values view")
"""What makes rows of its arguments, or of a query that is read by the same rules."""

HIGHER_ORDER = names(
    """
    array{Map,Filter,Fold,Exists,All,Count,Fill,ReverseFill,Split,ReverseSplit,Compact} array{First,Last}{,Index,OrNull}
    array{Sum,Avg,Min,Max,Product,CumSum,CumSumNonNegative,Difference} array{Sort,ReverseSort,PartialSort,PartialReverseSort}
    array{TopK,BottomK} map{Apply,Filter,All,Exists,Sort,ReverseSort,PartialSort,PartialReverseSort}
    """
)
"""What calls its first argument, which may be a lambda, or the bare name of a function: `arrayMap(file, ['/etc/passwd'])` reads a file."""

NAMED_AGGREGATE = names("arrayReduce arrayReduceInRanges initializeAggregation")
"""What calls the aggregate function that its first argument names, as a text."""

NAMED_DICTIONARY = names(
    """
    dictGet{,OrDefault,OrNull,All} dictHas dictGet{String,Date,DateTime,UUID,IPv4,IPv6}{,OrDefault}
    dictGet{UInt8,UInt16,UInt32,UInt64,Int8,Int16,Int32,Int64,Float32,Float64}{,OrDefault}
    """
)
"""What looks into the dictionary that its first argument names, as a text."""

_ZONED = {
    0: "now{,64,InBlock,InBlock64} current_timestamp localtime{,stamp}",
    1: f"""
    date day dayOf{{Month,Year}} hour last_day {{micro,milli,nano}}second minute month quarter second to_days year timestamp
    {{from,to}}UTCTimestamp {{from,to}}_utc_timestamp fromUnixTimestamp64{{Second,Milli,Micro,Nano}} timeSlot time{{z,Z}}one{{Of,Offset}}
    to{{Date,Date32,DateTime,DateTime32,Time}}{_OR} toTime{{z,Z}}one toString toTimeWithFixedDate to_unixtime toUnixTimestamp monthName
    to{{Year,Quarter,Month,Hour,Minute,Second,Millisecond,Microsecond,Nanosecond}} toMonday toISO{{Week,Year}}
    toDayOf{{Month,Year}} toDaysInMonth toLastDayOfMonth toDaysSinceYearZero toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss
    toRelative{{Second,Minute,Hour,Day,Week,Month,Quarter,Year}}Num toMonthNumSinceEpoch toYearNumSinceEpoch
    toStartOf{{Nanosecond,Microsecond,Millisecond,Second,Minute,Hour,Day,Month,Quarter,Year,ISOYear}}
    toStartOf{{FiveMinute,FiveMinutes,TenMinutes,FifteenMinutes}} UUIDv7ToDateTime
    parseDateTime{{,32,64}}BestEffort{{,US}}{{,OrNull,OrZero}}
    """,
    2: f"""
    add{_PART}s subtract{_PART}s dayOfWeek week yearweek toDayOfWeek toWeek toYearWeek toStartOfWeek toLastDayOfWeek toStartOfInterval
    toDateTime64{_OR} dateName dateTrunc date_trunc date_bin time_bucket tumble{{,Start,End}} snowflakeIDToDateTime{{,64}}
    formatDateTime{{,InJodaSyntax}} fromUnixTimestamp{{,InJodaSyntax}} from_unixtime date_format str_to_date
    parseDateTime{{,64}}{{,InJodaSyntax}}{{,OrNull,OrZero}}
    """,
    3: "age dateDiff date_diff timeDiff timestampDiff timestamp_diff hop{,Start,End}",
    6: "makeDateTime",
    8: "makeDateTime64",
}
ZONED = {name: place for place, listed in _ZONED.items() for name in names(listed.lower())}
"""What takes the name of a time zone as a text, in small letters, and from which of its arguments on there is nothing else but numbers."""

_TYPED = {0: "defaultValueOfTypeName", 1: "cast accurateCast{,OrNull,OrDefault} reinterpret", -1: "JSONExtract JSONExtractKeysAndValues"}
TYPED = {name: place for place, listed in _TYPED.items() for name in names(listed.lower())}
"""What takes the name of a type as a text, in small letters, and as which of its arguments."""

_LOWER = frozenset(name.lower() for name in _ANY_CASE)
_AGGREGATES_LOWER = frozenset(name.lower() for name in _AGGREGATES_ANY_CASE)


def is_aggregate(name: str) -> bool:
    """Whether a reader may call it as an aggregate function, with its combinators: `sumIf`, `quantilesTDigestArrayIf`."""
    while True:
        if name in _AGGREGATES or name.lower() in _AGGREGATES_LOWER:
            return True
        match = _COMBINATOR.fullmatch(name)
        if match is None:
            return False
        name = match[1]


def is_allowed(name: str) -> bool:
    """Whether a reader may call it at all, as a function or a table function, with whatever arguments."""
    return name in _EXACT or name.lower() in _LOWER or name in TABLE_FUNCTIONS or is_aggregate(name)
