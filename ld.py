import sys,re
sys.path.insert(0,'/tmp/flow/src')
from headwater._native import ffi, lib
o=lib.bpf_object__open_file(b"/tmp/flow.bpf.o",ffi.NULL)
p=lib.bpf_object__next_program(o,ffi.NULL); logs=[]
while p!=ffi.NULL:
    log=ffi.new("char[]",1<<24); logs.append(log)
    lib.bpf_program__set_log_level(p,int(sys.argv[1]) if len(sys.argv)>1 else 4); lib.bpf_program__set_log_buf(p,log,len(log))
    p=lib.bpf_object__next_program(o,p)
print(lib.bpf_object__load(o))
for l in logs: print(ffi.string(l).decode()[-1500:])
