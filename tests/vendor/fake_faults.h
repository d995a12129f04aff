// Faults on demand, for the fakes beside it: which call fails, how, and from when on. One copy for each library that includes it.
//
// A plan is a list of rules, divided by commas or line ends:   FUNCTION:N=WHAT   or   FUNCTION:N+=WHAT
//   FUNCTION  as in the fake's list of calls, or * for all of them
//   N         the N-th call of it since the plan was set, from 1; with + that call and all after it
//   WHAT      an error number; `none`: the answer 0 or NULL of a call that gives more than errors; `hang`: the call returns (as if well) only when another plan is set; `slow-MS`: it takes that long;
//             `crash`: the process ends by SIGSEGV, as it does when a vendor's library stumbles
// `FUNCTION=WHAT` means from the first call on. Examples: cuMemAlloc_v2:3=2   enqueue:5=1   cuStreamSynchronize:10=hang   *:1+=100
//
// A plan comes from the variable FAULTS_VARIABLE when the library is opened, from the file named in FAULTS_FILE_VARIABLE (looked at on
// each call, so that a test can change it while a program runs), or through the exported function that the fake has for it.
#ifndef FAKE_FAULTS_H
#define FAKE_FAULTS_H
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_RULES 32
#define FAULTS_CALLS 96
#define FAULTS_NONE (-1)

struct faults_rule {
    char name[48];
    unsigned long from;
    int onwards, code, hang, crash, slow_ms;
};

static struct {
    pthread_mutex_t lock;
    struct faults_rule rules[FAULTS_RULES];
    int many;
    struct {
        char name[48];
        unsigned long since_plan, ever;
    } calls[FAULTS_CALLS];
    int names;
    unsigned long plan; // raised by each new plan: ends a hang
    unsigned long calls_ever;
    struct timespec file_time;
    long file_size;
    int opened;
} faults; // all zero, and a mutex of zeros is an open one here (Linux)

static void faults_sleep_ms(int ms) {
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void faults_set_locked(const char* plan) {
    char copy[4096], *rest = copy, *word;
    faults.many = 0;
    faults.plan++;
    for (int i = 0; i < faults.names; i++) faults.calls[i].since_plan = 0;
    snprintf(copy, sizeof copy, "%s", plan ? plan : "");
    while ((word = strsep(&rest, ",\n")) != NULL) {
        struct faults_rule rule;
        char *what = strchr(word, '='), *number;
        memset(&rule, 0, sizeof rule);
        rule.from = 1, rule.onwards = 1;
        if (!what || faults.many == FAULTS_RULES) continue;
        *what++ = 0;
        if (what - word >= 2 && what[-2] == '+') what[-2] = 0;
        else if (strchr(word, ':')) rule.onwards = 0;
        if ((number = strchr(word, ':')) != NULL) {
            *number++ = 0;
            rule.from = strtoul(number, NULL, 10);
        }
        snprintf(rule.name, sizeof rule.name, "%s", word);
        if (strcmp(what, "none") == 0) rule.code = FAULTS_NONE;
        else if (strcmp(what, "hang") == 0) rule.hang = 1;
        else if (strcmp(what, "crash") == 0) rule.crash = 1;
        else if (strncmp(what, "slow-", 5) == 0) rule.slow_ms = atoi(what + 5);
        else rule.code = atoi(what);
        faults.rules[faults.many++] = rule;
    }
}

static void faults_look_at_file_locked(void) {
    const char* path = getenv(FAULTS_FILE_VARIABLE);
    struct stat found;
    char text[4096];
    size_t got;
    FILE* file;
    if (!path || stat(path, &found) != 0) return;
    if (found.st_mtim.tv_sec == faults.file_time.tv_sec && found.st_mtim.tv_nsec == faults.file_time.tv_nsec &&
        found.st_size == faults.file_size)
        return;
    if (!(file = fopen(path, "r"))) return;
    got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = 0;
    faults.file_time = found.st_mtim;
    faults.file_size = found.st_size;
    faults_set_locked(text);
}

// Counts a call of `name`; the error number it is to give, or 0.
static int faults_call(const char* name) {
    int code = 0, hang = 0, crash = 0, slow_ms = 0, at;
    unsigned long nth, plan;
    pthread_mutex_lock(&faults.lock);
    if (!faults.opened) {
        faults.opened = 1;
        if (getenv(FAULTS_VARIABLE)) faults_set_locked(getenv(FAULTS_VARIABLE));
    }
    faults_look_at_file_locked();
    for (at = 0; at < faults.names && strcmp(faults.calls[at].name, name) != 0; at++) {}
    if (at == faults.names && at < FAULTS_CALLS) snprintf(faults.calls[faults.names++].name, sizeof faults.calls[at].name, "%s", name);
    if (at == FAULTS_CALLS) at--; // more functions than room: the last count is shared
    faults.calls[at].ever++;
    faults.calls_ever++;
    nth = ++faults.calls[at].since_plan;
    plan = faults.plan;
    for (int i = 0; i < faults.many; i++) {
        const struct faults_rule* rule = &faults.rules[i];
        if (strcmp(rule->name, name) != 0 && strcmp(rule->name, "*") != 0) continue;
        if (nth != rule->from && !(rule->onwards && nth > rule->from)) continue;
        code = rule->code, hang = rule->hang, crash = rule->crash, slow_ms = rule->slow_ms;
        break;
    }
    pthread_mutex_unlock(&faults.lock);
    if (crash) *(volatile int*)8 = 0; // from a raised signal Rust's handler would return
    if (slow_ms) faults_sleep_ms(slow_ms);
    while (hang) {
        faults_sleep_ms(2);
        pthread_mutex_lock(&faults.lock);
        faults_look_at_file_locked();
        hang = faults.plan == plan;
        pthread_mutex_unlock(&faults.lock);
    }
    return code;
}

// How often `name` was called; all calls for *.
static unsigned long faults_count(const char* name) {
    unsigned long count = 0;
    pthread_mutex_lock(&faults.lock);
    for (int i = 0; i < faults.names; i++)
        if (strcmp(faults.calls[i].name, name) == 0) count = faults.calls[i].ever;
    if (strcmp(name, "*") == 0) count = faults.calls_ever;
    pthread_mutex_unlock(&faults.lock);
    return count;
}

static void faults_set(const char* plan) {
    pthread_mutex_lock(&faults.lock);
    faults.opened = 1;
    faults_set_locked(plan);
    pthread_mutex_unlock(&faults.lock);
}
#endif
