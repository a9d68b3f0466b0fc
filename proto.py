#!/work/main/.venv/bin/python
"""A stand-in for `headwater read X -o D --format zeek-json`."""
import sys, json, os, ipaddress
sys.path.insert(0,'/tmp/flow/src')
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger
from headwater.analysis.flows import Flows
LOCAL=[ipaddress.ip_network(n) for n in "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 ::ffff:0:0/96 fc00::/7 fe80::/10 100::/64 2001:2::/48 2001:db8::/32 2001::/23 64:ff9b:1::/48 224.0.0.0/4".split()]
def local(a):
    a=ipaddress.ip_address(a); return any(a in n for n in LOCAL)
path,out=sys.argv[2],sys.argv[sys.argv.index("-o")+1]
flows=Flows(b"0123456789abcdef")
with open(os.path.join(out,"conn.log"),"w") as f:
    def put(batches):
        for b in batches:
            a=b.to_arrow(); ts=a["ts"].cast("int64").to_pylist()
            for r,t in zip(a.to_pylist(),ts):
                r={k:v for k,v in r.items() if v is not None and k not in("interface","tunnel_parent")} | ({"tunnel_parents":[r["tunnel_parent"]]} if r["tunnel_parent"] else {})
                r["ts"]=t/1e9
                r["local_orig"]=local(r["id.orig_h"]); r["local_resp"]=local(r["id.resp_h"])
                f.write(json.dumps(r)+"\n")
    from headwater._native import lib
    with Capture(path,Ledger()) as cap:
        lib.hw_capture_carry(cap._decoder)
        for b in cap.read(): put(flows.find(b))
    put(flows.end())
