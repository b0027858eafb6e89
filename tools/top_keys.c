#include "tools/top_keys.h"

#include <string.h>

/* Terminals differ about Home and End; with the keypad in application mode, ESC O stands for ESC [. */
static const struct {
    const char *bytes;
    enum top_command command;
} keys[] = {
    {"q", TOP_QUIT},           {"Q", TOP_QUIT},           {"\33", TOP_ESCAPE},
    {"\r", TOP_ENTER},         {"\n", TOP_ENTER},         {"\x7f", TOP_ERASE},
    {"\b", TOP_ERASE},         {"\x15", TOP_ERASE_ALL},   {"<", TOP_SORT_LEFT},
    {">", TOP_SORT_RIGHT},     {",", TOP_SORT_LEFT},      {".", TOP_SORT_RIGHT},
    {"r", TOP_REVERSE},        {"R", TOP_REVERSE},        {"/", TOP_FILTER},
    {"p", TOP_PAUSE},          {" ", TOP_PAUSE},          {"v", TOP_HOT},
    {"?", TOP_HELP},           {"h", TOP_HELP},           {"k", TOP_UP},
    {"j", TOP_DOWN},           {"g", TOP_HOME},           {"G", TOP_END},
    {"\33[A", TOP_UP},         {"\33[B", TOP_DOWN},       {"\33OA", TOP_UP},
    {"\33OB", TOP_DOWN},       {"\33[C", TOP_SORT_RIGHT}, {"\33[D", TOP_SORT_LEFT},
    {"\33OC", TOP_SORT_RIGHT}, {"\33OD", TOP_SORT_LEFT},  {"\33[5~", TOP_PAGE_UP},
    {"\33[6~", TOP_PAGE_DOWN}, {"\33[H", TOP_HOME},       {"\33[F", TOP_END},
    {"\33OH", TOP_HOME},       {"\33OF", TOP_END},        {"\33[1~", TOP_HOME},
    {"\33[4~", TOP_END},       {"\33[7~", TOP_HOME},      {"\33[8~", TOP_END},
};

enum top_command top_key(const char *bytes, size_t length) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].bytes) == length && memcmp(keys[i].bytes, bytes, length) == 0)
            return keys[i].command;
    return TOP_NOTHING;
}

const struct top_key_help top_keys_help[] = {
    {"Up Down PgUp PgDn Home End", "scroll"},
    {"< >  Left Right", "sort by the column to the left, to the right"},
    {"r", "reverse the order"},
    {"/", "show only rows that contain what is typed; Enter ends typing, Escape shows all rows"},
    {"v", "hot keys of parameter rules instead of resources, and back"},
    {"p  Space", "pause: keep what is shown, and go on"},
    {"h  ?", "this help"},
    {"q  Ctrl-C", "end"},
    {NULL, NULL},
};
