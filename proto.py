#!/work/main/.venv/bin/python
import sys, json, os, hashlib, base64, ipaddress
sys.path.insert(0,'/tmp/flow/src')
import numpy as np
from headwater._native import ffi, lib
from headwater.records.layouts import SCHEMA, dtype, ENUMS
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger
CONN=dtype(SCHEMA.structs["hw_conn"])
def addr(b):
    b=bytes(b)
    return str(ipaddress.ip_address(b[12:])) if b[:12]==b"\0"*10+b"\xff\xff" else str(ipaddress.ip_address(b))
def packed(b):
    b=bytes(b); return b[12:] if b[:12]==b"\0"*10+b"\xff\xff" else b
def cid(r):
    s,d=packed(r["id_orig_h"]),packed(r["id_resp_h"]); sp,dp=int(r["id_orig_p"]),int(r["id_resp_p"]); pr=int(r["ip_proto"])
    ow=bool(r["one_way"]) and pr in(1,58)
    le=lambda x:int.from_bytes(x.to_bytes(2,'little'),'big')
    if not ow and (s,le(sp))>(d,le(dp)): s,d,sp,dp=d,s,dp,sp
    data=b"\0\0"+s+d+bytes([pr,0])
    if pr in (1,6,17,58,132): data+=sp.to_bytes(2,"big")+dp.to_bytes(2,"big")
    return "1:"+base64.b64encode(hashlib.sha1(data).digest()).decode()
LOCAL=[ipaddress.ip_network(n) for n in "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 ::ffff:0:0/96 fc00::/7 fe80::/10 100::/64 2001:2::/48 2001:db8::/32 2001::/23 64:ff9b:1::/48 224.0.0.0/4".split()]
def local(a):
    a=ipaddress.ip_address(a); return any(a in n for n in LOCAL)
def mac(b): return ":".join("%02x"%x for x in bytes(b))
def main(path,out):
    flows=lib.hw_flows_new(); into=np.zeros(lib.HW_CONNS_ROOM,CONN); ptr=ffi.cast("void *",into.ctypes.data); done=ffi.new("size_t*")
    f=open(os.path.join(out,"conn.log"),"w")
    def put(n):
        for r in into[:n]:
            has=int(r["has"])
            o={"ts":int(r["ts"])/1e9,"uid":"C%d"%r["number"],"id.orig_h":addr(r["id_orig_h"]),"id.orig_p":int(r["id_orig_p"]),"id.resp_h":addr(r["id_resp_h"]),"id.resp_p":int(r["id_resp_p"]),"proto":ENUMS["hw_transport"][int(r["proto"])]}
            o["ts"]=round(o["ts"],6)
            if has&8: o.update(duration=int(r["duration"])/1e9,orig_bytes=int(r["orig_bytes"]),resp_bytes=int(r["resp_bytes"]))
            o["conn_state"]=ENUMS["hw_conn_state"][int(r["conn_state"])]
            o["local_orig"]=local(o["id.orig_h"]); o["local_resp"]=local(o["id.resp_h"])
            o["missed_bytes"]=int(r["missed_bytes"])
            h=bytes(r["history"]).rstrip(b"\0").decode()
            if h: o["history"]=h
            for k in("orig_pkts","orig_ip_bytes","resp_pkts","resp_ip_bytes","ip_proto"): o[k]=int(r[k])
            o["community_id"]=cid(r)
            if has&1: o["orig_l2_addr"]=mac(r["orig_l2_addr"])
            if has&16: o["resp_l2_addr"]=mac(r["resp_l2_addr"])
            if has&2: o["vlan"]=int(r["vlan"])
            if has&4: o["inner_vlan"]=int(r["inner_vlan"])
            f.write(json.dumps(o)+"\n")
    cap=Capture(path,Ledger())
    with cap:
        for b in cap.read():
            rows=b.rows; at=0
            while at<len(rows):
                n=lib.hw_flows_add(flows,ffi.cast("char *",rows.ctypes.data)+at*rows.strides[0],rows.strides[0],len(rows)-at,ptr,done)
                put(n); at+=done[0]
    while (n:=lib.hw_flows_end(flows,ptr)): put(n)
a=sys.argv
main(a[2],a[a.index("-o")+1])
