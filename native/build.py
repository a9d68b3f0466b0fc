"""cffi's view of the native module: the declarations of headwater.h and the part of libbpf that headwater.kernel calls."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
DECLARED = (HERE / "headwater.h").read_text().split("/*cffi*/")[1].split("/*end*/")[0]

LIBBPF = """
typedef uint32_t __u32;
typedef uint64_t __u64;
struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_object_open_opts { size_t sz; ...; };
struct bpf_map_create_opts { size_t sz; ...; };
struct bpf_link_create_opts { size_t sz; __u32 flags; ...; };
struct bpf_xdp_query_opts { size_t sz; __u32 prog_id; unsigned char attach_mode; ...; };
struct bpf_prog_info { __u32 type; __u32 id; char name[16]; __u64 run_time_ns; __u64 run_cnt; ...; };
#define BPF_STATS_RUN_TIME ...
struct bpf_test_run_opts {
	size_t sz; const void *data_in; void *data_out; __u32 data_size_in; __u32 data_size_out; __u32 retval; int repeat; __u32 duration; ...;
};

struct bpf_object *bpf_object__open_file(const char *path, const struct bpf_object_open_opts *opts);
int bpf_object__load(struct bpf_object *obj);
void bpf_object__close(struct bpf_object *obj);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *obj, const char *name);
struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *obj, const char *name);
const char *bpf_program__name(const struct bpf_program *prog);
int bpf_program__fd(const struct bpf_program *prog);
int bpf_program__set_autoload(struct bpf_program *prog, bool autoload);
int bpf_program__set_log_buf(struct bpf_program *prog, char *log_buf, size_t log_size);
int bpf_program__set_log_level(struct bpf_program *prog, __u32 log_level);
struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map);
const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__fd(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
int bpf_obj_pin(int fd, const char *pathname);
int bpf_obj_get(const char *pathname);
void bpf_program__set_ifindex(struct bpf_program *prog, __u32 ifindex);
__u32 bpf_program__flags(const struct bpf_program *prog);
int bpf_program__set_flags(struct bpf_program *prog, __u32 flags);
int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries);
__u32 bpf_map__value_size(const struct bpf_map *map);
int bpf_map_create(int map_type, const char *map_name, __u32 key_size, __u32 value_size, __u32 max_entries,
	const struct bpf_map_create_opts *opts);
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *cur_key, void *next_key);
int bpf_link_create(int prog_fd, int target_fd, int attach_type, const struct bpf_link_create_opts *opts);
int bpf_prog_query(int target_fd, int type, __u32 query_flags, __u32 *attach_flags, __u32 *prog_ids, __u32 *prog_cnt);
int bpf_prog_get_fd_by_id(__u32 id);
int bpf_obj_get_info_by_fd(int bpf_fd, void *info, __u32 *info_len);
int bpf_enable_stats(int type);
int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts);
int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts);
int libbpf_num_possible_cpus(void);
void *hw_libbpf_quiet(void);
"""

SOURCE = """
#include <stdbool.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "headwater.h"
#include "hw_layout_check.h"

static int hw_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

/* What libbpf would print goes into our errors instead. */
static void *hw_libbpf_quiet(void)
{
	return (void *)libbpf_set_print(hw_silent);
}
"""

ffi = FFI()
ffi.cdef(DECLARED + LIBBPF)
ffi.set_source(
    "headwater._native",
    SOURCE,
    sources=[str(path.relative_to(HERE.parent)) for path in sorted(HERE.glob("*.c"))],
    depends=[str(path.relative_to(HERE.parent)) for folder in ("bpf", "native") for path in sorted((HERE.parent / folder).glob("*.h"))],
    include_dirs=["native", "build"],
    libraries=["bpf"],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
