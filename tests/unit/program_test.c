/* What is found in PATH, and what is seen in a program's file. */
#include "tools/program.h"

#include <check.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/suite.h"

static char folder[32], library[64], path[64];

static void put(const char *name, const void *bytes, size_t length, mode_t mode, char ret_path[64]) {
    snprintf(ret_path, 64, "%s/%s", folder, name);
    FILE *file = fopen(ret_path, "w");
    ck_assert_ptr_nonnull(file);
    fwrite(bytes, 1, length, file);
    fclose(file);
    ck_assert_int_eq(chmod(ret_path, mode), 0);
}

/* An ELF file of nothing but headers. */
static void put_elf(const char *name, unsigned char class, uint16_t machine, const char *interpreter, mode_t mode,
                    char ret_path[64]) {
    unsigned char ruleset[512] = {0};
    size_t length = interpreter ? strlen(interpreter) + 1 : 0;
    if (class == ELFCLASS64) {
        Elf64_Ehdr head = {
            .e_machine = machine, .e_phoff = sizeof head, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1};
        Elf64_Phdr program = {.p_type = interpreter ? PT_INTERP : PT_LOAD, .p_offset = 256, .p_filesz = length};
        memcpy(ruleset, &head, sizeof head);
        memcpy(ruleset + sizeof head, &program, sizeof program);
    } else {
        Elf32_Ehdr head = {
            .e_machine = machine, .e_phoff = sizeof head, .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1};
        Elf32_Phdr program = {
            .p_type = interpreter ? PT_INTERP : PT_LOAD, .p_offset = 256, .p_filesz = (Elf32_Word)length};
        memcpy(ruleset, &head, sizeof head);
        memcpy(ruleset + sizeof head, &program, sizeof program);
    }
    memcpy(ruleset, ELFMAG, SELFMAG);
    ruleset[EI_CLASS] = class;
    if (interpreter)
        memcpy(ruleset + 256, interpreter, length);
    put(name, ruleset, sizeof ruleset, mode, ret_path);
}

/* The build id that Go's linker leaves, in the place of the program's only segment. */
static void put_go_note(const char *file) {
    static const unsigned char note[] = "\4\0\0\0\1\0\0\0\1\0\0\0GNU\0x\0\0\0" /* somebody else's before it */
                                        "\4\0\0\0\3\0\0\0\4\0\0\0Go\0\0abc";
    Elf64_Phdr program = {.p_type = PT_NOTE, .p_offset = 300, .p_filesz = sizeof note};
    FILE *ruleset = fopen(file, "r+");
    ck_assert_ptr_nonnull(ruleset);
    fseek(ruleset, sizeof(Elf64_Ehdr), SEEK_SET);
    fwrite(&program, sizeof program, 1, ruleset);
    fseek(ruleset, 300, SEEK_SET);
    fwrite(note, sizeof note, 1, ruleset);
    fclose(ruleset);
}

static void set_up(void) {
    strcpy(folder, "/tmp/program_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    put_elf("libweir.so", ELFCLASS64, EM_X86_64, NULL, 0644, library);
}

static void tear_down(void) {
    char command[64];
    snprintf(command, sizeof command, "/bin/rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(finds_as_execvp_does) {
    char first[64], second[64], found[PATH_MAX], list[256];
    put("tool", "x", 1, 0755, first);
    put("data", "x", 1, 0644, second);
    snprintf(list, sizeof list, "/nosuch:%s:/bin", folder);
    setenv("PATH", list, 1);
    ck_assert_int_eq(program_find("tool", found, sizeof found), 0);
    ck_assert_str_eq(found, first);
    ck_assert_int_eq(program_find("data", found, sizeof found), -EACCES);
    ck_assert_str_eq(found, second);
    ck_assert_int_eq(program_find("no-such-tool", found, sizeof found), -ENOENT);
    ck_assert_int_eq(program_find("", found, sizeof found), -ENOENT);
    ck_assert_int_eq(program_find(first, found, sizeof found), 0);
    ck_assert_int_eq(program_find(folder, found, sizeof found), -EISDIR);
    ck_assert_int_eq(program_find("./no/such", found, sizeof found), -ENOENT);
    ck_assert_int_eq(chdir(folder), 0);
    setenv("PATH", "", 1); /* an empty entry is the current folder */
    ck_assert_int_eq(program_find("tool", found, sizeof found), 0);
    ck_assert_str_eq(found, "tool");
}
END_TEST

static bool unreachable(const char *word) {
    char why[512] = "";
    bool is = program_unreachable(path, library, why, sizeof why);
    ck_assert_msg(!is || strstr(why, word), "'%s' lacks '%s'", why, word);
    return is;
}

START_TEST(knows_whom_a_preload_reaches) {
    put_elf("dynamic", ELFCLASS64, EM_X86_64, "/lib64/ld-linux-x86-64.so.2", 0755, path);
    ck_assert(!unreachable(""));
    put_elf("ld-linux-x86-64.so.2", ELFCLASS64, EM_X86_64, NULL, 0755, path);
    ck_assert(!unreachable(""));
    put("text", "hello", 5, 0755, path);
    ck_assert(!unreachable(""));
    put("empty", "", 0, 0755, path);
    ck_assert(!unreachable(""));
    snprintf(path, sizeof path, "%s/nosuch", folder);
    ck_assert(!unreachable(""));
}
END_TEST

START_TEST(knows_whom_it_does_not_reach) {
    char script[160], program[64];
    put_elf("static", ELFCLASS64, EM_X86_64, NULL, 0755, path);
    ck_assert(unreachable("statically linked"));
    put_elf("small", ELFCLASS32, EM_386, "/lib/ld-linux.so.2", 0755, path);
    ck_assert(unreachable("32-bit"));
    put_elf("arm", ELFCLASS64, EM_AARCH64, "/lib/ld-linux-aarch64.so.1", 0755, path);
    ck_assert(unreachable("another processor"));
    put_elf("musl", ELFCLASS64, EM_X86_64, "/lib/ld-musl-x86_64.so.1", 0755, path);
    ck_assert(unreachable("musl"));
    put_elf("interpreter", ELFCLASS64, EM_X86_64, NULL, 0755, program);
    snprintf(script, sizeof script, "#! %s -x\n", program);
    put("script", script, strlen(script), 0755, path);
    ck_assert(unreachable("statically linked"));
    put_elf("go", ELFCLASS64, EM_X86_64, "/lib64/ld-linux-x86-64.so.2", 0755, path);
    put_go_note(path);
    ck_assert(unreachable("Go program"));
    put("cut", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0cut", 19, 0755, path); /* ends within its header */
    ck_assert(unreachable("statically linked"));
}
END_TEST

START_TEST(knows_raised_rights) {
    put_elf("raised", ELFCLASS64, EM_X86_64, "/lib64/ld-linux-x86-64.so.2", 0755, path);
    if (geteuid() != 0)
        return; /* only root can make a file of somebody else's */
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    ck_assert_int_eq(chmod(path, 04755), 0);
    ck_assert(unreachable("set-uid"));
    ck_assert_int_eq(chmod(path, 02755), 0);
    ck_assert(unreachable("set-gid"));
    ck_assert_int_eq(chown(path, 0, 0), 0);
    ck_assert_int_eq(chmod(path, 04755), 0); /* ours: no rights are raised */
    ck_assert(!unreachable(""));
}
END_TEST

START_TEST(a_script_that_names_itself_ends) {
    char script[160];
    snprintf(path, sizeof path, "%s/loop", folder);
    snprintf(script, sizeof script, "#!%s\n", path);
    put("loop", script, strlen(script), 0755, path);
    ck_assert(!unreachable(""));
}
END_TEST

static const struct {
    const char *preload, *wanted;
} preloads[] = {
    {NULL, "/w/libweir.so"},
    {"", "/w/libweir.so"},
    {"/a.so", "/w/libweir.so:/a.so"},
    {"/a.so /b.so", "/w/libweir.so:/a.so /b.so"},
    {"/a.so:/w/libweir.so", "/a.so:/w/libweir.so"},
    {"/w/libweir.so", "/w/libweir.so"},
    {"/w/libweir.so.1", "/w/libweir.so:/w/libweir.so.1"},
    {"/x/w/libweir.so", "/w/libweir.so:/x/w/libweir.so"},
};

START_TEST(joins_preloads) {
    char *text = program_preload("/w/libweir.so", preloads[_i].preload);
    ck_assert_str_eq(text, preloads[_i].wanted);
    free(text);
}
END_TEST

START_TEST(paths_that_can_be_preloaded) {
    ck_assert(program_preloadable("/usr/lib/libweir.so"));
    ck_assert(!program_preloadable("/my files/libweir.so"));
    ck_assert(!program_preloadable("/a:b/libweir.so"));
    ck_assert(!program_preloadable("libweir.so"));
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("program");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, finds_as_execvp_does);
    tcase_add_test(cases, knows_whom_a_preload_reaches);
    tcase_add_test(cases, knows_whom_it_does_not_reach);
    tcase_add_test(cases, knows_raised_rights);
    tcase_add_test(cases, a_script_that_names_itself_ends);
    tcase_add_loop_test(cases, joins_preloads, 0, sizeof preloads / sizeof *preloads);
    tcase_add_test(cases, paths_that_can_be_preloaded);
    return suite_run("program", cases, NULL);
}
