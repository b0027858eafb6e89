%% The HTTP server of Erlang's inets: erl -noshell -pa FOLDER -s answer start HOST PORT ROOT. It answers /NAME with the name, and
%% a POST with its body; what it was called with is noted where a test wants to know it (REQUEST_LOG).
-module(answer).
-export([start/1, do/1]).
-include_lib("inets/include/httpd.hrl").

start([Host, Port, Root]) ->
    {ok, Address} = inet:parse_address(atom_to_list(Host)),
    {ok, _} = application:ensure_all_started(inets),
    {ok, _} = inets:start(httpd, [{port, list_to_integer(atom_to_list(Port))}, {bind_address, Address},
                                  {server_name, "weir.test"}, {server_root, atom_to_list(Root)},
                                  {document_root, atom_to_list(Root)}, {modules, [?MODULE]},
                                  {max_keep_alive_request, 1000000}, {keep_alive_timeout, 60}]).

do(#mod{method = Method, request_uri = Target, entity_body = Entity}) ->
    note([Method, " ", Target, "\n"]),
    Path = hd(string:split(Target, "?")),
    Body = case Method of
               "POST" -> Entity;
               _ -> tl(Path) ++ "\n"
           end,
    Length = integer_to_list(iolist_size(Body)),
    {proceed, [{response, {response, [{code, 200}, {content_length, Length}], [Body]}}]}.

note(Line) ->
    case os:getenv("REQUEST_LOG") of
        false -> ok;
        Log -> ok = file:write_file(Log, Line, [append])
    end.
