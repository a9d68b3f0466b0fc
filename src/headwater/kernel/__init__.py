"""The only package that talks to libbpf and the kernel."""
