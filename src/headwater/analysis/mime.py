"""What a file is by its first octets: Zeek's MIME types, and when it calls a file so.

Facts of scripts/base/frameworks/files/magic/*.sig (BSD): a line is how strong a sign is, the type, and how such a file begins. Of those
that fit the strongest one counts, of equals the first by name. Signs that can fit nothing are left out.
"""

import re
from collections.abc import Sequence
from typing import Final

TABLE: Final = r"""
340 application/zip             MZ.{28}(?:Copyright 1989-1990 PKWARE Inc|PKLITE Copr)\.
330 application/pgp-keys        ..---BEGIN\ PGP\ PUBLIC\ KEY\ BLOCK-
320 application/mac-binhex40    .{11}must\ be\ converted\ with\ BinHex
280 application/pgp-signature   -----BEGIN\ PGP\ SIGNATURE-
280 application/x-shar          .{10}\#\ This\ is\ a\ shell\ archive
260 application/pgp             -----BEGIN\ PGP\ MESSAGE-
260 application/x-freeplane     <map\ ?version="freeplane
260 application/x-scribus       <SCRIBUSUTF8NEW\ Version
250 text/x-shellscript          \#![^\n]{1,15}bin/(?:env\s+)?(?:ba|tc|c|z|fa|ae|k)?sh
230 application/x-svr4-package  \#\ PaCkAgE\ DaTaStReAm
220 application/x-kdelnk        \[KDE\ Desktop\ Entry\]
200 application/x-kdelnk        \#\ KDE\ Config\ File
190 application/x-dosexec       .{369}MICROSOFT\ PIFEX\0
190 application/x-mif           <MakerScreenFont
190 audio/x-mod                 Extended\ Module:
190 audio/x-w64                 riff\.\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0.{8}wave\xf3\xac\xd3\x11\x8c\xd1\0\xc0O\x8e\xdb\x8a
190 audio/x-wav                 RF64\xff\xff\xff\xffWAVEds64
190 model/vrml                  \#VRML\ ?V1\.0\ ?ascii
180 application/x-msaccess      .{4}Standard\ (?:Jet|ACE)\ DB\0
180 model/vrml                  \#VRML\ ?V2\.0\ ?utf8
180 text/calendar               BEGIN:VCALENDAR
170 image/x-canon-crw           II\x1a\0\0\0HEAPCCDR
170 message/rfc822              Relay-Version:
160 application/vnd.font-fontforge-sfd SplineFontDB:
160 application/x-gnumeric      .{39}<gmr:Workbook
160 image/x-polar-monitor-bitmap \[BitmapInfo2\]
160 message/rfc822              (?i:delivered-to):
150 application/x-freemind      <map\ ?version
150 message/rfc822              (?i:return-path):
140 application/x-bittorrent    d8:announce
140 application/x-ia-arc        filedesc://
140 application/x-sc            .{38}Spreadsheet
140 text/x-vcard                BEGIN:VCARD
130 application/x-mif           <MakerFile
130 image/x-canon-cr2           II\*\0\x10\0\0\0CR
130 message/rfc822              Forward\ to
120 application/vnd.lotus-wordpro WordPro\r\xfb
120 application/vnd.oasis.opendocument.chart-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.chart-template
120 application/vnd.oasis.opendocument.formula-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.formula-template
120 application/vnd.oasis.opendocument.graphics-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.graphics-template
120 application/vnd.oasis.opendocument.image-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.image-template
120 application/vnd.oasis.opendocument.presentation-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.presentation-template
120 application/vnd.oasis.opendocument.spreadsheet-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet-template
120 application/vnd.oasis.opendocument.text-template PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.text-template
120 application/x-lha           MZ.{34}LH[aA]'s\ SFX
120 application/x-mif           <BookFile
120 message/rfc822              N\#!\ rnews
110 application/epub+zip        PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/epub\+zip
110 application/vnd.lotus-wordpro WordPro\0
110 application/vnd.ms-cab-compressed MSCF\0\0\0\0
110 application/vnd.oasis.opendocument.chart PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.chart[^-]
110 application/vnd.oasis.opendocument.database PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.database
110 application/vnd.oasis.opendocument.formula PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.formula[^-]
110 application/vnd.oasis.opendocument.graphics PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.graphics[^-]
110 application/vnd.oasis.opendocument.image PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.image[^-]
110 application/vnd.oasis.opendocument.presentation PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.presentation[^-]
110 application/vnd.oasis.opendocument.spreadsheet PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet[^-]
110 application/vnd.oasis.opendocument.text PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.text[^-]
110 application/x-hdf           \x89HDF\r\n\x1a\n
110 application/x-mif           <MIFFile
110 audio/x-mod                 .{21}(?:!SCREAM!|BMOD2STM)
110 image/png                   \x89PNG
110 image/x-xcf                 gimp\ xcf
110 message/rfc822              \#!\ rnews
110 text/x-msdos-batch          @\ *(?i:echo)\ +(?i:off)
110 video/x-matroska            \x1a\x45\xdf\xa3.*B\x82.matroska
100 application/bindiff         DIFF
100 application/bplist          bplist
100 application/bsdiff          BSDIFF
100 application/chrome-ext      Cr24
100 application/java-archive    PK\x03\x04.{1,200}\x14\0..META-INF/MANIFEST\.MF
100 application/map-tile        VMP4
100 application/mshelp          ITSF
100 application/msqm            MSQM
100 application/mssql-bak       MSSQLBAK
100 application/mtf             TAPE
100 application/pkcs7-signature MIME-Version:.*protocol="application/pkcs7-signature"
100 application/skp             \xff\xfe\xff\x0eS\0k\0e\0t\0c\0h\0U\0p\0\ \0M\0o\0d\0e\0l\0
100 application/vnd.google-earth.kmz PK\x03\x04\x14.{25}doc\.kml
100 application/vnd.ms-tnef     \x78\x9f\x3e\x22
100 application/vnd.rn-realmedia \.RMF\0\0\0
100 application/vnd.tcpdump.pcap \n\r\r\n.{4}(?:\x1a\x2b\x3c\x4d|\x4d\x3c\x2b\x1a)
100 application/x-blizgame      BLTE
100 application/x-dmg           \x78(?:\x01\x73\r\x62\x62\x60|\xda\x63\x60\x18\x05|\x01\x63\x60\x18\x05|\xda\x73\r|[\x01\xda]\xed[\xd0-\xd9])
100 application/x-game-mpq      MPQ\x1a
100 application/x-gzip          \x1f\x8b
100 application/x-java-jnlp-file <jnlp\ #
100 application/x-kaspavdb      KLZF
100 application/x-kaspavupdate  KLD2
100 application/x-mach-o-executable [\xce\xcf]\xfa\xed\xfe
100 application/x-mach-o-executable \xca\xfe\xba\xbe..\0[\x01-\x14]
100 application/x-ms-dds        DDS
100 application/x-tar           [\x20-\x7e\0]{100}(?:[0-9\ ]{7}\0){3}(?:[0-9\ ]{11}\0){2}[0-9\0\ ]{7}[\ \0][0-7\0]
100 application/x-vim-tmp       b0VIM
100 application/x-xar           xar!
100 message/news                Article
100 message/rfc822              Pipe\ to
99  application/x-iso9660-image CD001
90  application/x-mif           <Maker
90  application/x-quark-xpress-3 ..MMXPR3
90  application/x-xz            \xfd7zXZ\0
90  image/vnd.dwg               AC(?:[12]\.|10)
90  text/x-xmcd                 \#\ xmcd
80  application/pdf             %PDF-
80  application/vnd.fdf         %FDF-
80  application/vnd.fdo.journal LPKSHHRH.{8}[\0-\x03].{7}[^\0]{48}
80  application/vnd.openxmlformats-officedocument.presentationml.presentation PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/\.rels|ppt/).*PK\x03\x04.{26}ppt/
80  application/vnd.openxmlformats-officedocument.spreadsheetml.sheet PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/\.rels|xl/).*PK\x03\x04.{26}xl/
80  application/vnd.openxmlformats-officedocument.wordprocessingml.document PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/\.rels|word/).*PK\x03\x04.{26}word/
80  application/x-font-ttf      \0\x01\0\0\0
80  application/x-lzh           ..-(?:lh[\ abcdex0-9]|lz[s2-8]|pm[s012]|pc1)-
80  application/x-python-bytecode (?:\xfc\xc4|\x99\x4e|\x87\xc6|[*-]\xed|[;EYcmw\x81\x8b\x8c\x95\x9f\xa9\xb3\xc7\xd1\xdb\xe5\xef\xf9]\xf2|\x03\xf3)\r\n
80  application/x-python-bytecode (?:[\xb8\xc2\xcc\xd6\xe0\xea\xf4\xf5\xff]\x0b|[\x09\x13\x1d\x1f';EOXblv\x80\x94\x9e\xb2\xcc\xc6\xd0\xda\xe4\xee\xf8]\x0c)\r\n
80  application/x-python-bytecode (?:[\x02\x0c\x16\x17\x20\x21*-\-/-3>-BHIR-U\\-af-oz-\xa7\xac-\xcb\xde-\xf3]\r|[\x10-\x19]\x0e)\r\n
80  message/news                (?:Path|Xref):
80  message/rfc822              From:
80  text/rtf                    {\\rtf
71  application/ocsp-request    .{11,19}\x06\x05\x2b\x0e\x03\x02\x1a
71  application/ocsp-response   .{11,19}\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01
71  application/x-java-applet   \xca\xfe\xba\xbe...[\x2d-\x34]
71  application/x-lzma          \x5d\0\0
71  video/mpv                   \0\0\x01\xb3
70  application/chrome-ext-upd  CrOD
70  application/dicom           .{128}DICM
70  application/font-woff       wOFF
70  application/ogg             OggS
70  application/vnd.ms-opentype OTTO
70  application/vnd.oasis.opendocument.text-web PK\x03\x04.{22}\x08\0\0\0mimetypeapplication/vnd\.oasis\.opendocument\.text-web
70  application/vnd.symbian.install .{8}\x19\x04\0\x10
70  application/vnd.tcpdump.pcap (?:\xa1\xb2\xc3\xd4|\xd4\xc3\xb2\xa1)
70  application/x-arc           [\0-\x7f]{2}[\x02-\x0a\x14\x48]\x1a
70  application/x-archive       !?<ar(?:ch)?>
70  application/x-dbm           (?:\x61\x15\x06\0|\0\x06\x15\x61)
70  application/x-eet           \x1e\xe7\xff\0
70  application/x-epoc-agenda   P\0\0\x10m\0\0\x10\x84\0\0\x10
70  application/x-epoc-app      7\0\0\x10t\0\0\x10
70  application/x-epoc-data     P\0\0\x10m\0\0\x10\x86\0\0\x10
70  application/x-epoc-jotter   P\0\0\x10m\0\0\x10\xea\x0c\0\x10
70  application/x-epoc-opl      7\0\0\x10m\0\0\x10\x85\0\0\x10
70  application/x-epoc-opo      7\0\0\x10s\0\0\x10
70  application/x-epoc-sheet    7\0\0\x10m\0\0\x10\x88\0\0\x10
70  application/x-epoc-word     7\0\0\x10m\0\0\x10\x7f\0\0\x10
70  application/x-font-sfn      (?:\x04\0\0\0|\0\0\0\x04).{100}(?:\x04\0\0\0|\0\0\0\x04)
70  application/x-gdbm          (?:GDBM|\xce\x9a\x57\x13|\x13\x57\x9a\xce)
70  application/x-hdf           \x0e\x03\x13\x01
70  application/x-java-jce-keystore \xce\xce\xce\xce
70  application/x-java-keystore \xfe\xed\xfe\xed
70  application/x-lz4           (?:\x02\x21\x4c|\x04\x22\x4d)\x18
70  application/x-lzip          LZIP
70  application/x-mif           <MML
70  application/x-quicktime-player ....pckg
70  application/x-rar           Rar!
70  application/x-rpm           (?:drpm|\xed\xab\xee\xdb)
70  application/x-stuffit       (?:SIT!|StuffIt)
70  application/x-zoo           .{20}\xdc\xa7\xc4\xfd
70  audio/basic                 \.snd.{8}\0\0\0[\x01-\x07]
70  audio/m4a                   ....ftypm4a
70  audio/midi                  MThd
70  audio/x-adpcm               \.snd.{8}\0\0\0\x17
70  audio/x-aiff                FORM.{4}(?:AIF[FC]|8SVX)
70  audio/x-ape                 MAC\ #
70  audio/x-dec-basic           \.sd\0.{8}[\x01-\x07\x17]\0\0\0
70  audio/x-flac                fLaC
70  audio/x-hx-aac-adif         ADIF
70  audio/x-mod                 IMPM
70  audio/x-pn-realaudio        \.ra\xfd
70  audio/x-wav                 RIFF.{4}WAVE
70  image/gif                   GIF8
70  image/jp2                   \0\0\0\x0cjP\ \ \r\n\x87\n.{8}jp2\ #
70  image/jpm                   \0\0\0\x0cjP\ \ \r\n\x87\n.{8}jpm\ #
70  image/jpx                   \0\0\0\x0cjP\ \ \r\n\x87\n.{8}jpx\ #
70  image/tiff                  (?:MM\0[*+]|II[*+]\0)
70  image/vnd.adobe.photoshop   8BPS
70  image/vnd.djvu              AT&TFORM.{4}(?:DJV[MUI]|THUM)
70  image/x-coreldraw           RIFF....CDR[A6]
70  image/x-cpi                 CPC\xb2
70  image/x-cursor              \0\0\x02\0
70  image/x-dpx                 SDPX
70  image/x-epoc-mbm            7\0\0\x10B\0\0\x10
70  image/x-epoc-sketch         7\0\0\x10m\0\0\x10}\0\0\x10
70  image/x-exr                 \x76\x2f\x31\x01
70  image/x-icon                \0\0\x01\0
70  image/x-lss16               \x3d\xf3\x13\x14
70  image/x-niff                IIN1
70  image/x-olympus-orf         (?:IIR[OS]|MMOR)
70  image/x-paintnet            PDN3
70  image/x-quicktime           ....idsc
70  image/x-x3f                 FOVb
70  image/x-xcursor             Xcur
70  text/x-msdos-batch          @(?i:set)\ +
70  video/mj2                   \0\0\0\x0cjP\ \ \r\n\x87\n.{8}mjp2
70  video/mp4                   ....ftyp(?:isom|mp4[12])
70  video/quicktime             ....(?:mdat|moov)
70  video/webm                  \x1a\x45\xdf\xa3.*B\x82.webm
70  video/x-jng                 \x8bJNG
70  video/x-mng                 \x8aMNG
70  video/x-ms-asf              \x30\x26\xb2\x75
70  video/x-msvideo             RIFF.{4}AVI\ #
70  video/x-sgi-movie           MOVI
70  x-epoc/x-sisx-app           \x7a\x1a\x20\x10
61  application/vnd.google-earth.kml+xml <\?xml.{15}.*\ xmlns=['"]http://(?:earth\.google\.com|www\.opengis\.net)/kml
60  application/javascript      \#![^\n]{1,15}bin/(?:env\s+)?node(?:js)?
60  application/javascript      [\r\n\ \t]*<(?i:script)[\ \t]+(?i:type|language)=['"]?(?i:(?:text/)?javascript)
60  application/javascript      [\r\n\ \t]*(?:for\ \(;;\);|document\.write(?:ln)?[:blank]?\()
60  application/javascript      \(function\(\)[\ \t\n]*\{
60  application/javascript      [\r\n\ \t]*<script>[\r\n\ \t]*(?:var|function)\ #
60  application/postscript      \x04%!
60  application/x-shockwave-flash [FCZ]WS
60  audio/mp4                   ....ftypM4A
60  audio/x-musepack            MP\+
60  image/jp2                   .{4}ftypjp2
60  text/x-awk                  \#![^\n]{1,15}bin/(?:env\s+)?[gn]?awk
60  text/x-msdos-batch          @(?i:rem)
60  text/x-perl                 \#![^\n]{1,15}bin/(?:env\s+)?perl
60  text/x-php                  \#![^\n]{1,15}bin/(?:env\s+)?php
60  text/x-python               \#![^\n]{1,15}bin/(?:env\s+)?python
60  text/x-ruby                 \#![^\n]{1,15}bin/(?:env\s+)?ruby
60  text/x-tcl                  \#![^\n]{1,15}bin/(?:env\s+)?(?:wish|tcl)
60  video/3gpp                  ....ftyp(?:3g[egps2]|avc1|mmp4)
60  video/mp4                   ....ftypM4V
60  video/x-flv                 FLV
52  image/jpeg                  \xff\xd8
51  application/x-dosexec       MZ
50  application/marc            [0-9]{5}[acdn]w
50  application/msword          \xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1
50  application/postscript      %!
50  application/vnd.ms-fontobject .{34}LP
50  application/vnd.openxmlformats-officedocument PK\x03\x04\x14\0\x06\0
50  application/warc            WARC/
50  application/x-7z-compressed 7z\xbc\xaf\x27\x1c
50  application/x-arj           \x60\xea
50  application/x-compress      \x1f\x9d
50  application/x-coredump      \x7fELF[\x01\x02](?:\x01.{10}\x04\0|\x02.{10}\0\x04)
50  application/x-cpio          (?:\xc7\x71|\x71\xc7)
50  application/x-dvi           \xf7\x02
50  application/x-executable    \x7fELF[\x01\x02](?:\x01.{10}\x02\0|\x02.{10}\0\x02)
50  application/x-gnupg-keyring \x99\x01
50  application/x-object        \x7fELF[\x01\x02](?:\x01.{10}\x01\0|\x02.{10}\0\x01)
50  application/x-pgp-keyring   (?:\x99\0|\x95[\0\x01])
50  application/x-sharedlib     \x7fELF[\x01\x02](?:\x01.{10}\x03\0|\x02.{10}\0\x03)
50  application/x-windows-minidump MDMP
50  audio/vnd.dolby.dd-raw      \x0b\x77
50  audio/x-hx-aac-adts         \xff[\xf0\xf1\xf8\xf9]
50  audio/x-mp4a-latm           \x56[\xe0-\xff]
50  image/jp2                   ....jP
50  image/x-award-bioslogo      \x11[\x06\x09]
50  image/x-ms-bmp              BM.{12}[\x0c\x28\x40\x6c\x7c\x80]\0
50  image/x-portable-pixmap     P7
50  text/PGP                    (?:\xa6\0|\x85\x02)
50  video/mpeg                  \0\0\x01[\xb0-\xbb]
50  video/quicktime             ....ftypqt
50  video/x-flc                 .{4}\x12\xaf
50  video/x-fli                 .{4}\x11\xaf
49  application/vnd.ms-outlook  !BDN......[\x0e\x0f\x15\x17][\0-\x02]
49  application/vnd.ms-pol      PReg
49  application/vnd.ms-reg      REGEDIT4
49  application/vnd.ms-reg      \xff\xfeW\0i\0n\0d\0o\0w\0s\0\ \0R\0e\0g\0i\0s\0t\0r\0y\0\ \0E\0d\0i\0t\0o\0r\0\ \0V\0e\0r\0s\0i\0o\0n\0\ \x005\0\.\x000\x000
49  application/vnd.ms-regf     regf
49  application/x-ms-shortcut   L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F
49  text/x-lua                  \#![^\n]{1,15}bin/(?:env\s+)?lua
43  model/x3d                   <\?xml\ version=".{5}.*<!DOCTYPE\ ?X3D
42  image/x-portable-bitmap     P4.[0-9]{1,50}\ \ [0-9]
42  image/x-portable-greymap    P5.[0-9]{1,50}\ \ [0-9]
42  image/x-portable-pixmap     P6.[0-9]{1,50}\ \ [0-9]
41  video/h264                  \0\0\0\x01[\x07\x27\x47\x67\x87\xa7\xc7\xe7]
40  application/vnd.cups-raster (?:3SaR|RaS3)
40  application/x-ichitaro4     DOC.{40}\x14
40  application/x-ichitaro5     DOC.{40}\x15
40  application/x-ichitaro6     DOC.{40}\x16
40  application/x-tokyocabinet-btree ToKyO\ CaBiNeT\n.{18}\x01
40  application/x-tokyocabinet-fixed ToKyO\ CaBiNeT\n.{18}\x02
40  application/x-tokyocabinet-hash ToKyO\ CaBiNeT\n.{18}\0
40  application/x-tokyocabinet-table ToKyO\ CaBiNeT\n.{18}\x03
40  text/x-m4                   dnl\ #
38  image/svg+xml               <\?xml\ version="[^\0].{3}.*<svg
37  application/x-gnucash       <\?xml\ version="[^\0].{3}.*<gnc-v2
37  application/xml-sitemap     <\?xml\ version="[^\0].{3}.*<urlset
37  text/x-php                  <\?php\ /\*\ Smarty\ version.[0-9.]
21  video/mp2p                  \0\0\x01\xba[\x40-\x7f\xc0-\xff]
20  audio/mpeg                  \xff[\xe2\xe3\xf2\xf3\xf6\xf7\xfa\xfb\xfc\xfd]
20  audio/x-mod                 MAS_UTrack_V00/0
20  image/x-award-bmp           AWBM
20  text/ini                    (?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\0\r\n\ \t]*\[[^\r\n]+\][\ \t\0]*[\r\n]
10  application/sla             solid\ #
10  application/x-elc           ;ELC[\0-\x1f\x80-\xff]
10  application/zip             PK(?:\x03\x04..|\x07\x08PK\x03\x04)
1   application/x-java-pack200  \xca\xfe\xd0\r.
1   application/x-lrzip         LRZI
1   application/x-ms-reader     ITOLITLS.{4}
1   text/json                   (?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\r\n\ \t]*\{[\r\n\ \t]*(?:"[^"]+"|[a-zA-Z][a-zA-Z0-9\\_]*)[\r\n\ \t]*:[\r\n\ \t]*(?:["\[{0-9]|true|false)
1   text/json                   (?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\r\n\ \t]*\[[\r\n\ \t]*(?:(?:"[^"]+"|[0-9]+(?:\.[0-9]+)?|true|false)[\r\n\ \t]*,|[{\[])
0   application/vnd.apple-afpinfo AFP
0   application/x-pem           -----BEGIN\ CERTIFICATE-----
0   text/json                   (?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\r\n\ \t]*(?:\[\]|\{\})[\r\n\ \t]*\Z
-20 text/plain                  (?:\xef\xbb\xbf|(?:\0\0)?\xfe\xff|\xff\xfe(?:\0\0)?)?[\s\x20-\x7e]{10}
"""  # noqa: E501 - a sign a line

MARKUP: Final = r"""
100 text/atom                   <(?:(?i:rss)[^>]*xmlns:atom|(?i:feed)[^>]*xmlns=["']?http://www.w3.org/2005/Atom["']?)
100 text/html                   <(?:!(?i:doctype)\ +(?i:html)|(?i:html)|(?i:meta)\ +(?i:http-equiv))
90  text/rss                    <(?i:rss)
49  application/f4m             <(?i:manifest)[\r\n\ \t]+xmlns="http://ns\.adobe\.com/f4m/
49  application/soap+xml        <(?i:soap(?:-env)?:envelope)
49  application/xml-rpc         <(?i:methodresponse)>
49  text/x-cross-domain-policy  <(?:!(?i:doctype)\ +)?(?i:cross-domain-policy)
20  magnus-internal/cold-fusion <(?:CFPARAM|CFSET|CFIF)
20  text/html                   <(?i:head|html|title|body)
10  application/xml             <\0?\?\0?x\0?m\0?l\0?\ \0?
"""
"""Signs behind white space, comments and a declaration of XML."""

_SEARCHED: Final = (
    (55, "text/x-diff", b"--- ", re.compile(rb"(?>.*?--- )(?>.*?\n)(?>.*?\+\+\+ )(?>.*?\n)(?>.*?@@)", re.DOTALL).match),
    (42, "image/x-portable-bitmap", b"P1", re.compile(rb"P1[0-9]{1,50}  [0-9]").search),
    (42, "image/x-portable-pixmap", b"P3", re.compile(rb"P3[0-9]{1,50}  [0-9]").search),
    (42, "image/x-portable-greymap", b"P2", re.compile(rb"P2[0-9]{1,50}  [0-9]").search),
    (40, "text/x-php", b"<?php", re.compile(rb"<\?php").search),
)
"""Signs anywhere, and what is in each of them."""
_WEAKEST: Final = -100

_SPACE: Final = re.compile(rb"[\r\n \t]*")
_MOST_TAGS: Final = 64  # places where the first one may be
_FIRST: Final = re.compile(r"(?>\[(?:\\.|[^\]\\])+\]|\\x..|\\.|[^.(\[\\])(?![*?+{])")
"""What a sign begins with, where that is one certain octet or one of some."""


class _Signs:
    """A table, as expressions in which the strongest sign comes first: one of those that any file may have, and one for each first octet of
    a file of those that it alone may have.
    """

    def __init__(self, table: str) -> None:
        lines = [line.split(None, 2) for line in table.strip().splitlines()]
        signs = sorted((-int(strength), mime, sign.removesuffix("#")) for strength, mime, sign in lines)
        self._certain = [(one, found[0].encode()) for one in signs if (found := _FIRST.match(one[2]))]
        self._of_any = _Expression([one for one in signs if not _FIRST.match(one[2])])
        self._by_first: dict[bytes, _Expression] = {}

    def find(self, head: bytes, at: int = 0) -> tuple[int, str] | None:
        """How strong a sign there is at that place, and of what; of signs that are as strong, the first by what it is of."""
        first = head[at : at + 1]
        if first not in self._by_first:
            self._by_first[first] = _Expression([sign for sign, begins in self._certain if re.match(begins, first, re.DOTALL)])
        found = [sign for of in (self._by_first[first], self._of_any) if (sign := of.find(head, at))]
        if not found:
            return None
        strength, mime = min(found)
        return -strength, mime


class _Expression:
    """Some of the signs of a table, at once."""

    def __init__(self, signs: Sequence[tuple[int, str, str]]) -> None:
        self._kinds = [(strength, mime) for strength, mime, _ in signs]
        self._match = re.compile("|".join(f"({sign})" for _, _, sign in signs).encode() or rb"(?!)", re.DOTALL).match

    def find(self, head: bytes, at: int) -> tuple[int, str] | None:
        """The strongest at that place: its strength, negated, and what it is of."""
        found = self._match(head, at)
        return self._kinds[found.lastindex - 1] if found and found.lastindex else None


_SIGNS, _TAGS = _Signs(TABLE), _Signs(MARKUP)


def mime_type(head: bytes) -> str | None:
    """The MIME type of a file that begins with `head`; None if it is of no known one."""
    if not head:
        return None
    sign = _SIGNS.find(head)
    found = [sign] if sign else []
    if b"<" in head:
        found += [tag for at in _tags(head) if (tag := _TAGS.find(head, at))]
    best = max(found)[0] if found else _WEAKEST
    for strength, mime, literal, search in _SEARCHED:
        if strength >= best and literal[0] in head and literal in head and search(head):  # one octet is found ten times as fast
            found.append((strength, mime))
    if len(found) < 2:  # as most
        return found[0][1] if found else None
    return min(found, key=lambda kind: (-kind[0], kind[1]))[1]


def _tags(head: bytes) -> list[int]:
    """Where the first tag may begin: behind white space, comments, a declaration and comments again. Zeek takes a comment to end at any
    `-->` behind it, and a declaration at any `?>`.
    """
    first = len(head) - len(head.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff"))
    places = _behind_comments(head, first)
    declared = next((at for at in places if head.startswith(b"<?xml ", at)), None)
    if declared is not None:
        for at in _behind(head, declared, b"?>"):
            if at not in places:
                places += [one for one in _behind_comments(head, at) if one not in places]
    return [at for at in places if head.startswith((b"<", b"\0<"), at)][:_MOST_TAGS]


def _behind_comments(head: bytes, at: int) -> list[int]:
    at = _behind_space(head, at)
    return [at, *_behind(head, at, b"-->")] if head.startswith(b"<!--", at) else [at]


def _behind(head: bytes, at: int, end: bytes) -> list[int]:
    """Behind each `end`, and white space."""
    found: list[int] = []
    while (at := head.find(end, at)) >= 0 and len(found) < _MOST_TAGS:
        at += len(end)
        found.append(_behind_space(head, at))
    return found


def _behind_space(head: bytes, at: int) -> int:
    found = _SPACE.match(head, at)
    return found.end() if found else at
