/* A plug-in of qemu that counts the instructions a program executes between two marks.

A mark is a harmless system call: getpriority of a "which" that there is not, 0x5a00 where counting
begins and 0x5a01 where it ends, which writes the count as a line of the file out=.

qemu's header is not packaged, so what is used of it is declared here. All of it is the same in all
versions of the interface, of which API is the number to claim. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef API
#define API 1
#endif
#define EXPORT __attribute__((visibility("default")))

enum { GETPRIORITY = 141, BEGIN = 0x5a00, END = 0x5a01, NO_REGISTERS = 0 };

struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int,
                                          void *);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t,
                                          void (*)(uint64_t, unsigned, int64_t, uint64_t, uint64_t,
                                                   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                   uint64_t));

EXPORT int qemu_plugin_version = API;

static uint64_t executed, begin;
static FILE *out;

static void block_runs(unsigned cpu, void *instructions)
{
    executed += (uintptr_t)instructions;
}

static void block_is_translated(uint64_t id, struct qemu_plugin_tb *block)
{
    void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, block_runs, NO_REGISTERS, instructions);
}

static void system_call(uint64_t id, unsigned cpu, int64_t number, uint64_t which, uint64_t who,
                        uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                        uint64_t a8)
{
    if (number != GETPRIORITY)
        return;
    if (which == BEGIN)
        begin = executed;
    if (which == END) {
        fprintf(out, "%" PRIu64 "\n", executed - begin);
        fflush(out);
    }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_is_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
