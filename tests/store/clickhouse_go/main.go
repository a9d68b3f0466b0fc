// SPDX-License-Identifier: Apache-2.0
// What is in Grafana's data source: clickhouse-go over HTTP asks a store. Arguments: address, password. A line of JSON for each way to pack.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func ask(address, password string, method clickhouse.CompressionMethod) (map[string]any, error) {
	db := clickhouse.OpenDB(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{address},
		Auth:        clickhouse.Auth{Database: "headwater", Username: "grafana", Password: password},
		Settings:    clickhouse.Settings{"max_execution_time": 60, "allow_experimental_object_type": 1},
		Compression: &clickhouse.Compression{Method: method, Level: 3},
		ClientInfo:  clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"grafana", "12.0.0"}}},
		DialTimeout: 5 * time.Second,
	})
	defer db.Close()
	said := map[string]any{}
	background := context.Background()
	if err := db.PingContext(background); err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	context := clickhouse.Context(background, clickhouse.WithParameters(clickhouse.Parameters{"proto": "tcp"}), clickhouse.WithQueryID("grafana-1"))
	var count uint64
	if err := db.QueryRowContext(context, "SELECT count() FROM conn WHERE proto = {proto:String}").Scan(&count); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	said["count"] = count
	rows, err := db.QueryContext(background, "SELECT ts, uid, id.orig_h, id.resp_p, proto, duration, local_orig, tunnel_parents, vlan FROM conn ORDER BY uid LIMIT 1")
	if err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	names, _ := rows.Columns()
	kinds, _ := rows.ColumnTypes()
	for rows.Next() {
		cells := make([]any, len(names))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := rows.Scan(cells...); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		for i, name := range names {
			said[name] = fmt.Sprint(reflect.Indirect(reflect.ValueOf(*cells[i].(*any))))
			said["type of "+name] = kinds[i].DatabaseTypeName()
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	var sum, n uint64
	many, err := db.QueryContext(background, "SELECT number FROM numbers(300000)")
	if err != nil {
		return nil, fmt.Errorf("many: %w", err)
	}
	for many.Next() {
		var one uint64
		if err := many.Scan(&one); err != nil {
			return nil, fmt.Errorf("many: %w", err)
		}
		sum, n = sum+one, n+1
	}
	said["sum"], said["rows"] = sum, n
	for _, wrong := range []string{"SELECT nothing FROM conn", "DROP TABLE conn", "SELECT toUInt8(if(number < 200000, '1', 'x')) FROM numbers(300000)"} {
		rows, err := db.QueryContext(background, wrong)
		if err == nil { // it comes in the midst of an answer
			for rows.Next() {
			}
			err = rows.Err()
		}
		said[wrong] = fmt.Sprint(err)
	}
	return said, nil
}

func main() {
	for name, method := range map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
		"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate, "br": clickhouse.CompressionBrotli,
	} {
		said, err := ask(os.Args[1], os.Args[2], method)
		if err != nil {
			said = map[string]any{"error": err.Error()}
		}
		said["packed"] = name
		line, _ := json.Marshal(said)
		fmt.Println(string(line))
	}
}
