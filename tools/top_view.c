#include "tools/top_view.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"
#include "tools/top_apps.h"
#include "tools/top_keys.h"

enum {
    OLD_S = 5 /* metrics are of the last second: that old, they are no longer */,
    KEYS_COLUMN = 29,
    SUMS_SHARE = 5,
    LEAST_BELOW = 4
};

static const char *const red = "\33[31m", *const dim = "\33[2m", *const plain = "\33[0m";

/* ------------------------------------------------------------------------------------------------------------- keys */

static void move_column(struct top_view *view, int step) {
    int count = (int)top_columns_count(view->kind), at = view->column < 0 ? (int)view->kind->usual : view->column;
    at += step;
    view->column = at < 0 ? 0 : at >= count ? count - 1 : at;
}

/* Beyond the end is corrected where it is known, when the picture is drawn. */
static void scroll(struct top_view *view, enum top_command command) {
    size_t page = view->page > 1 ? view->page - 1 : 1, step = command == TOP_PAGE_UP ? page : 1;
    switch (command) {
    case TOP_UP:
    case TOP_PAGE_UP: view->first -= view->first < step ? view->first : step; break;
    case TOP_DOWN: view->first++; break;
    case TOP_PAGE_DOWN: view->first += page; break;
    case TOP_HOME: view->first = 0; break;
    case TOP_END: view->first = SIZE_MAX / 2; break;
    default: break;
    }
}

static void erase(char *text) {
    size_t length = strlen(text);
    while (length > 0 && ((unsigned char)text[--length] & 0xc0) == 0x80)
        ;
    text[length] = '\0';
}

static void type(struct top_view *view, const char *bytes, size_t length) {
    size_t at = strlen(view->filter);
    if (length >= sizeof view->filter - at)
        return;
    memcpy(view->filter + at, bytes, length);
    view->filter[at + length] = '\0';
    text_clean(view->filter); /* half a character, from a terminal that is not of UTF-8 */
    view->first = 0;
}

/* True: the key was for the filter. */
static bool edit_filter(struct top_view *view, enum top_command command, const char *bytes, size_t length) {
    unsigned char first = length ? (unsigned char)bytes[0] : 0;
    if (!view->typing)
        return false;
    if (first >= ' ' && first != 0x7f)
        type(view, bytes, length);
    else if (command == TOP_ERASE)
        erase(view->filter);
    else if (command == TOP_ERASE_ALL || command == TOP_ESCAPE)
        view->filter[0] = '\0';
    else if (command != TOP_ENTER)
        return false;
    view->typing = command != TOP_ENTER && command != TOP_ESCAPE;
    return true;
}

static void escape(struct top_view *view) {
    if (view->help)
        view->help = false;
    else if (view->filter[0])
        view->filter[0] = '\0';
    else
        view->quit = true;
    view->first = 0;
}

static void other_kind(struct top_view *view) {
    view->kind = view->kind == &top_hot ? &top_traffic : &top_hot;
    view->column = TOP_USUAL;
    view->reverse = false;
    view->first = 0;
}

bool top_view_key(struct top_view *view, const char *bytes, size_t length) {
    enum top_command command = top_key(bytes, length);
    if (edit_filter(view, command, bytes, length))
        return false;
    switch (command) {
    case TOP_QUIT: view->quit = true; break;
    case TOP_ESCAPE: escape(view); break;
    case TOP_SORT_LEFT: move_column(view, -1); break;
    case TOP_SORT_RIGHT: move_column(view, 1); break;
    case TOP_REVERSE: view->reverse = !view->reverse; break;
    case TOP_FILTER: view->typing = true; break;
    case TOP_PAUSE: view->paused = !view->paused; break;
    case TOP_HELP:
        view->help = !view->help;
        view->first = 0;
        break;
    case TOP_HOT: other_kind(view); return true;
    default: scroll(view, command);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- rows */

struct listing { /* rows in the view's order, as far as its filter lets them through */
    struct top_row *rows;
    size_t count;
};

static struct listing list_rows(const struct top_view *view, const cJSON *apps) {
    struct listing listing = {0};
    listing.rows = view->kind->rows(apps, &listing.count);
    if (listing.rows) {
        listing.count = top_rows_filter(view->kind, listing.rows, listing.count, view->filter);
        top_rows_sort(view->kind, listing.rows, listing.count, view->column, view->reverse);
    }
    return listing;
}

enum { NOTHING_MAX = TOP_FILTER_MAX + 100 };

static void say_nothing(const struct top_view *view, char ret_text[static NOTHING_MAX]) {
    if (view->filter[0])
        snprintf(ret_text, NOTHING_MAX, "no row contains \"%s\"", view->filter);
    else
        snprintf(ret_text, NOTHING_MAX, "%s", view->kind->nothing);
}

static void print_rows(const struct top_view *view, const struct listing *listing, size_t first, size_t count,
                       FILE *stream, int width, bool colour) {
    struct table *table = top_rows_table(view->kind, listing->rows + first, count);
    if (table)
        table_print(table, stream, width, 0, colour);
    table_free(table);
}

void top_view_print(const struct top_view *view, const struct top_metrics *metrics, FILE *stream, int width,
                    bool colour) {
    struct listing listing = list_rows(view, metrics->apps);
    char text[TOP_APPS_TEXT];
    const cJSON *app;
    for (enum top_banner banner = TOP_BANNER_OFF; banner <= TOP_BANNER_OVERLOAD; banner++) /* what explains the rows */
        cJSON_ArrayForEach(app, metrics->apps) if (top_apps_banner(app, banner, text))
            text_fold(stream, text, (size_t)width, 0, text_indent(text));
    if (listing.count) {
        print_rows(view, &listing, 0, listing.count, stream, width, colour);
    } else {
        say_nothing(view, text);
        text_fold(stream, text, (size_t)width, 0, 0);
    }
    free(listing.rows);
}

/* ------------------------------------------------------------------------------------------------------ whole screen
 */

struct picture {
    FILE *stream;
    size_t width, height, lines; /* lines written so far */
    bool colour;
};

/* One line, cut where the terminal ends. */
static void put_line(struct picture *picture, const char *style, const char *text) {
    size_t columns, length = text_within(text, picture->width, &columns);
    if (picture->colour && *text)
        fprintf(picture->stream, "%s%.*s%s\n", style, (int)length, text, plain);
    else
        fprintf(picture->stream, "%.*s\n", (int)length, text);
    picture->lines++;
}

/* Folded, while there are lines left for it. */
static void put_text(struct picture *picture, const char *style, const char *text) {
    size_t next, length;
    char line[TOP_APPS_TEXT];
    for (; *text && picture->lines + 1 < picture->height; text += next) {
        length = text_line(text, picture->width, true, &next);
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        put_line(picture, style, line);
    }
}

static void put_banners(struct picture *picture, const struct top_metrics *metrics, bool paused, time_t now) {
    char text[TOP_APPS_TEXT];
    const cJSON *app;
    if (metrics->agents == 0)
        put_text(picture, red, "NO AGENT answers: waiting for one. Programs go on with the rules that they have.");
    if (*metrics->trouble)
        put_text(picture, red, metrics->trouble);
    if (metrics->agents && !paused && metrics->second > 0 && difftime(now, 0) - metrics->second > OLD_S) {
        snprintf(text, sizeof text, "STALE: these metrics are %.0f s old; the agent does not take new ones",
                 difftime(now, 0) - metrics->second);
        put_text(picture, red, text);
    }
    for (enum top_banner banner = 0; banner < TOP_BANNERS; banner++)
        cJSON_ArrayForEach(app, metrics->apps) if (top_apps_banner(app, banner, text)) put_text(picture, red, text);
}

static void put_sums(struct picture *picture, const struct top_metrics *metrics) {
    char text[TOP_APPS_TEXT];
    const cJSON *app;
    size_t most = picture->height / SUMS_SHARE, count = 0, left = 0;
    cJSON_ArrayForEach(app, metrics->apps) {
        if (!top_apps_sums(app, text))
            continue;
        if (count++ < most && picture->lines + 1 < picture->height)
            put_line(picture, "", text);
        else
            left++;
    }
    if (left && picture->lines + 1 < picture->height) {
        snprintf(text, sizeof text, "… and %zu more apps", left);
        put_line(picture, "", text);
    }
}

static void put_head(struct picture *picture, const struct top_view *view, const struct top_metrics *metrics,
                     size_t shown, size_t count) {
    char moment[32] = "", filter[TOP_FILTER_MAX + 16] = "", order[64], text[400], app[80] = "", agents[32] = "";
    time_t second = (time_t)metrics->second;
    struct tm local;
    int apps = cJSON_GetArraySize(metrics->apps);
    if (second > 0 && localtime_r(&second, &local))
        strftime(moment, sizeof moment, "%H:%M:%S  ", &local);
    if (metrics->app)
        snprintf(app, sizeof app, "%s", metrics->app);
    else
        snprintf(app, sizeof app, "%d app%s", apps, apps == 1 ? "" : "s");
    if (metrics->agents > 1)
        snprintf(agents, sizeof agents, "  %zu agents", metrics->agents);
    if (view->filter[0])
        snprintf(filter, sizeof filter, "  only \"%s\"", view->filter);
    snprintf(order, sizeof order, "by %s%s",
             view->kind->shown[view->column < 0 ? view->kind->usual : (size_t)view->column].title,
             view->reverse ? ", reversed" : "");
    snprintf(text, sizeof text, "weir top%s  %s%s  %s  %zu-%zu of %zu%s%s%s", view->kind == &top_hot ? " --hot" : "",
             moment, app, order, count ? view->first + 1 : 0, view->first + shown, count, filter, agents,
             view->paused ? "  PAUSED" : "");
    text_clean(text);
    put_line(picture, "\33[7m", text);
}

static void put_keys(struct picture *picture, const struct top_view *view) {
    char text[TOP_FILTER_MAX + 80];
    while (picture->lines + 1 < picture->height)
        put_line(picture, "", "");
    if (view->typing)
        snprintf(text, sizeof text, "only rows with: %s_   (Enter: done, Escape: all rows)", view->filter);
    else if (view->help)
        snprintf(text, sizeof text, "h or Escape: back   q: quit");
    else
        snprintf(text, sizeof text, "q quit  / filter  < > sort  r reverse  %s  p %s  h help",
                 view->kind == &top_hot ? "v resources" : "v values", view->paused ? "go on" : "pause");
    put_line(picture, dim, text);
}

static void print_pair(FILE *stream, const char *name, const char *meaning, size_t width) {
    fprintf(stream, "%-*s", KEYS_COLUMN, name);
    text_fold(stream, meaning, width, KEYS_COLUMN, KEYS_COLUMN);
}

/* The keys and the columns; malloc'ed. */
static char *help_text(const struct top_view *view, size_t width) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    for (const struct top_key_help *key = top_keys_help; key->keys; key++)
        print_pair(stream, key->keys, key->meaning, width);
    fputc('\n', stream);
    for (size_t i = 0; view->kind->columns[i].name; i++)
        print_pair(stream, view->kind->shown[i].title, view->kind->columns[i].meaning, width);
    fclose(stream);
    return text;
}

static size_t count_lines(const char *text) {
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void put_lines(struct picture *picture, const char *text, size_t first, size_t count) {
    for (size_t i = 0; *text && i < first + count; i++) {
        const char *end = strchrnul(text, '\n');
        if (i >= first) {
            fprintf(picture->stream, "%.*s\n", (int)(end - text), text);
            picture->lines++;
        }
        text = end + (*end != '\0');
    }
}

/* The part of `count` that is shown on `room` lines; view->first is corrected. */
static size_t window(struct top_view *view, size_t count, size_t room) {
    view->page = room;
    if (view->first + room > count || view->first > count)
        view->first = count > room ? count - room : 0;
    return count - view->first < room ? count - view->first : room;
}

static void draw_help(struct top_view *view, struct picture *picture, const struct top_metrics *metrics) {
    char *text = help_text(view, picture->width);
    size_t count = text ? count_lines(text) : 0;
    size_t shown = window(view, count, picture->height > 3 ? picture->height - 3 : 1);
    put_head(picture, view, metrics, shown, count);
    put_line(picture, "", "");
    if (text)
        put_lines(picture, text, view->first, shown);
    free(text);
}

static void put_rows(const struct top_view *view, struct picture *picture, const struct listing *listing, size_t shown,
                     bool known) {
    char text[NOTHING_MAX];
    if (listing->count) {
        print_rows(view, listing, view->first, shown, picture->stream, (int)picture->width, picture->colour);
        picture->lines += shown + 1;
    } else if (known) {
        say_nothing(view, text);
        put_text(picture, "", text);
    }
}

static void draw_rows(struct top_view *view, struct picture *picture, const struct top_metrics *metrics, time_t now) {
    struct listing listing = list_rows(view, metrics->apps);
    struct picture above = *picture; /* what stands between the head and the rows, made first: its lines are taken */
    char *text = NULL;
    size_t size;
    above.stream = open_memstream(&text, &size);
    above.lines = 1;
    above.height -= above.height > LEAST_BELOW ? LEAST_BELOW : above.height;
    if (!above.stream) {
        free(listing.rows);
        return;
    }
    put_banners(&above, metrics, view->paused, now);
    if (view->kind == &top_traffic)
        put_sums(&above, metrics);
    put_line(&above, "", "");
    fclose(above.stream);
    size_t taken = above.lines + 2; /* the titles, the keys */
    size_t shown = window(view, listing.count, picture->height > taken ? picture->height - taken : 1);
    put_head(picture, view, metrics, shown, listing.count);
    fputs(text, picture->stream);
    picture->lines = above.lines;
    put_rows(view, picture, &listing, shown, metrics->agents > 0);
    free(text);
    free(listing.rows);
}

void top_view_draw(struct top_view *view, const struct top_metrics *metrics, time_t now, FILE *stream, int width,
                   int height, bool colour) {
    struct picture picture = {stream, (size_t)width, (size_t)height, 0, colour};
    if (view->help)
        draw_help(view, &picture, metrics);
    else
        draw_rows(view, &picture, metrics, now);
    put_keys(&picture, view);
}
